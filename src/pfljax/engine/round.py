"""One round on one device: its chunks of clients, the sum over devices, the server's step.

Runs inside `shard_map`, with `check_vma=False`: under True a replicated value that meets client data needs a cast,
or its gradient is summed over devices inside the client loop, which deadlocks when step counts differ; and with
casts, ordinary user code (scans that start from zeros) is rejected. Tests compare 1, 2 and 8 devices instead.

Several runs of a sweep share the round: servers are [run, ...], a lane says whose it is, and sums are kept per run.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from pfljax import aggregate, keys
from pfljax.engine.devices import AXIS
from pfljax.engine.exchange import fetch, individuals, store
from pfljax.engine.joined import joined
from pfljax.engine.place import Placed, shard_of
from pfljax.engine.route import Grid
from pfljax.engine.runs import add_lanes, each_lane, each_run, pick, zeros
from pfljax.engine.shelf import Shelf, lanes_of, with_lanes
from pfljax.errors import PflError
from pfljax.types import Aggregate, Array, Info, Key, Tree
from pfljax.upload.transforms import Transform, applied

OnNonfinite = Literal["stop", "drop"]
GROUP = 16  # chunks that are summed before they enter the round's sum: small numbers meet small numbers


class Spec(NamedTuple):
    """What a compiled block depends on besides shapes; hashable, so it is jit's static argument."""

    send: Callable
    init_client: Callable
    passes: tuple[tuple[Callable, Callable], ...]
    upload: Transform | None
    num_devices: int
    grid: Grid
    width: int
    num_runs: int
    cohort: int
    on_nonfinite: OnNonfinite
    reduction: aggregate.Kind
    is_streamed: bool
    max_count: int


class Slots(NamedTuple):
    """One device's part of one round's plan: [chunk, lane]; num_chunks scalar. way: that of kept state, or ()."""

    row: Array
    run: Array
    way: Any
    steps: Array
    mask: Array
    num_chunks: Array


def run_round(
    spec: Spec, servers: Tree, shelf: Shelf, placed: Placed, slots: Slots, key: Key, round: jax.Array
) -> tuple[Tree, Shelf, tuple[Info, Info], jax.Array]:
    """(servers, shelf, (client info {name: [chunk, lane]}, server info {name: [run]}), is_good [run]).

    servers: [run, ...]; key: [run]. `is_good` is False when the run is to stop: an update was not finite (unless such
    are dropped), or the server's own step was not. Then nothing of that run has moved.
    """
    shelf, source, known = fetch(shelf, slots.way, spec.grid)
    before, finite = servers, jnp.ones(slots.row.shape, bool)
    mask = jnp.asarray(slots.mask)
    is_good = jnp.ones(spec.num_runs, bool)
    infos, server_infos = {}, {}
    for index, (client, server_step) in enumerate(spec.passes):
        key_pass = each_run(lambda key, index=index: keys.at(key, index), spec.num_runs)(key)
        now = slots._replace(mask=mask & finite)
        given = Given(shelf.rows.kept, source, known, shelf.free)
        total, each, like, new, info = run_chunks(spec, client, servers, given, placed, now, key_pass, round)
        shelf = shelf._replace(rows=shelf.rows._replace(kept=new))
        source, known = shelf.free, jax.tree.map(jnp.ones_like, known)  # the next pass goes on from what is there now
        total = sum_over_devices(total, spec.num_devices)
        if spec.on_nonfinite == "drop":
            finite = finite & info["finite"]
        seen = individuals(each, slots, now.mask & finite, spec.num_runs, spec.cohort, spec.num_devices)
        step = _server_step(spec, server_step, like, round)
        servers, server_info, is_good = each_run(step, spec.num_runs)(servers, key_pass, total, seen, is_good)
        finite_so_far = infos.get("finite", True) & info["finite"]
        infos, server_infos = infos | info | {"finite": finite_so_far}, server_infos | server_info
    kept = mask & finite & is_good[slots.run]
    shelf = store(shelf, slots.way, kept.reshape(-1), spec.grid)
    servers = each_run(choose, spec.num_runs)(is_good, servers, before)
    return servers, shelf, (infos, server_infos), is_good


def _server_step(spec: Spec, server_step: Callable, like: Tree, round: jax.Array) -> Callable:
    """(server, key, (sums, counts), individuals, is_good) -> (server, info, is_good) of one run."""

    def step(server, key, total, seen, is_good):
        sums, (num_reported, num_bad, num_expected) = total
        each, rows, mask = seen
        upload = aggregate.finish(aggregate.reduction(spec.reduction).read(sums), like, each)
        aggregated = Aggregate(upload, num_reported, num_expected, rows, mask)
        moved, info = server_step(keys.use(keys.at(key, round), "server"), server, aggregated)
        # Nothing moves when nobody reported: a server optimizer's momentum must not either.
        somebody = num_reported > 0
        is_good = is_good & (is_finite(moved) | ~somebody)
        if spec.on_nonfinite == "stop":
            is_good = is_good & (num_bad == 0)
        return choose(somebody & is_good, moved, server), named(info), is_good

    return step


class Given(NamedTuple):
    """What a pass does with kept state.

    kept: [row, ...]; source: [slot] int32, the row from which a client starts, if it is known [slot] bool; free: [slot]
    int32, the row into which its new state goes. () for methods that keep nothing
    """

    kept: Tree
    source: Any
    known: Any
    free: Any


def run_chunks(spec, client, servers, given, placed, slots, key, round):
    """The client loop: no collective inside.

    Returns ((sums, counts), individuals, uploads' types, kept state [row, ...], info). sums, counts: [run, ...], the
    sums as the reduction keeps them; individuals, info: [chunk, lane, ...].
    """
    width, likes = slots.row.shape[1], []
    source, known, free = jax.tree.map(lambda leaf: leaf.reshape(-1, width), given[1:])
    lift, settle, _ = aggregate.reduction(spec.reduction)

    def fresh(row, run):
        key_client = keys.client(pick(key, run), round, row)
        return spec.init_client(keys.use(key_client, "init"), spec.send(pick(servers, run), row))

    def started(kept, index):
        """What a chunk's clients start from: [lane, ...].

        Behind a barrier: what is read from all rows in the same breath as they are written to is read from a copy of
        them all. XLA drops barriers on a CPU before it fuses, but not branches, which on a TPU want rows in a layout
        of their own.
        """
        if not jax.tree.leaves(kept):
            return kept
        found = lambda: lanes_of(kept, source[index])
        new = lambda: each_lane(fresh, width)(slots.row[index], slots.run[index])
        mixed = lambda: each_lane(choose, width)(known[index], found(), new())
        return lax.platform_dependent(
            cpu=lambda: lax.cond((known[index] | ~slots.mask[index]).all(), found, mixed),
            default=lambda: lax.optimization_barrier(mixed()),
        )

    def one(row, run, steps, mask, start):
        key_client = keys.client(pick(key, run), round, row)
        sent = spec.send(pick(servers, run), row)
        steps = jnp.where(mask, steps, 0)
        upload, kept, info = client(key_client, sent, start, shard_of(placed, row, steps, spec.max_count))
        upload = applied(spec.upload, keys.use(key_client, "upload"), upload)
        finite = is_finite((aggregate.looked_at(upload), kept, info))
        counts = mask & finite if spec.on_nonfinite == "drop" else mask
        counters = tuple(flag.astype(jnp.float32) for flag in (counts, mask & ~finite, mask))
        likes.append(jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), upload))
        addend = (lift(aggregate.contribution(upload, counts)), counters)
        return addend, kept, (aggregate.individuals(upload), named(info) | {"finite": finite})

    def chunk(index, carry):
        (sums, counts), kept, records = carry
        row, run, steps, mask = (each[index] for each in (slots.row, slots.run, slots.steps, slots.mask))
        (addend, counters), new, record = each_lane(one, width)(row, run, steps, mask, started(kept, index))
        return (
            (settle(add_lanes(sums, addend, run)), add_lanes(counts, counters, run)),
            with_lanes(kept, free[index], new) if jax.tree.leaves(kept) else kept,
            jax.tree.map(lambda leaf, new: leaf.at[index].set(new), records, record),
        )

    def group(index, carry):
        total, kept, records = carry
        end = jnp.minimum((index + 1) * GROUP, slots.num_chunks)
        inner = jax.tree.map(jnp.zeros_like, total)
        inner, kept, records = lax.fori_loop(index * GROUP, end, chunk, (inner, kept, records))
        sums, counts = jax.tree.map(jnp.add, total, inner)
        return (settle(sums), counts), kept, records

    lane = jax.tree.map(lambda leaf: leaf[0], (slots.row[0], slots.run[0], slots.steps[0], slots.mask[0], given.kept))
    addends, _, record = jax.eval_shape(one, *lane)
    records = jax.tree.map(lambda s: jnp.zeros((*slots.row.shape, *s.shape), s.dtype), record)
    num_groups = (slots.num_chunks + (GROUP - 1)) // GROUP
    start = (zeros(addends, spec.num_runs), given.kept, records)
    total, kept, (each, infos) = lax.fori_loop(jnp.int32(0), num_groups, group, start)
    return total, each, likes[0], kept, infos


def named(info: Info) -> Info:
    """A client's or the server's info; PflError for names that records need for themselves."""
    taken = {"finite", "round", "clients", "dropped", "clients_per_second"} & set(info)
    if taken:
        raise PflError(f"info: expected other names than those of the record, got {', '.join(sorted(taken))}; rename")
    return info


def is_finite(tree: Tree) -> jax.Array:
    """Whether every number is finite and small enough to be squared: one dot product a leaf, the fastest scan."""
    floats = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    # Half precision squares in float32: its own range ends at a norm of 256.
    wide = lambda leaf: jnp.float32 if leaf.dtype.itemsize < 4 else leaf.dtype
    square = lambda leaf: jnp.vdot(leaf, leaf, preferred_element_type=wide(leaf))
    good = [jnp.isfinite(square(leaf)) for leaf in floats]
    return jnp.stack(good).all() if good else jnp.bool_(True)


def sum_over_devices(tree: Tree, num_devices: int) -> Tree:
    """The sum over devices, one all-reduce for each dtype."""
    return tree if num_devices == 1 else joined(lambda flat: lax.psum(flat, AXIS), tree, 0)


def choose(flag: jax.Array, new: Tree, old: Tree) -> Tree:
    return jax.tree.map(lambda a, b: jnp.where(flag, a, b), new, old)
