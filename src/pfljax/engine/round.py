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
from pfljax.engine.runs import add_lanes, each_run, pick, zeros
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


class Clients(NamedTuple):
    """Kept client state: kept [client, ...]; visited [client] bool, False until a client first takes part.

    Both are () for methods that keep nothing. In a sweep the client axis holds one run's clients after another's.
    """

    kept: Tree
    visited: Tree

    def copied(self) -> "Clients":
        """The same state in buffers of its own."""
        return jax.tree.map(jnp.copy, self)


class Slots(NamedTuple):
    """One device's part of one round's plan: [chunk, lane]; num_chunks scalar. way: that of kept state, or ()."""

    row: Array
    run: Array
    way: Any
    steps: Array
    mask: Array
    num_chunks: Array


def run_round(
    spec: Spec, servers: Tree, clients: Clients, placed: Placed, slots: Slots, key: Key, round: jax.Array
) -> tuple[Tree, Clients, tuple[Info, Info], jax.Array]:
    """(servers, clients, (client info {name: [chunk, lane]}, server info {name: [run]}), is_good [run]).

    servers: [run, ...]; key: [run]. `is_good` is False when the run is to stop: an update was not finite (unless such
    are dropped), or the server's own step was not. Then nothing of that run has moved.
    """
    mine = fetch(clients, slots.way, spec.grid)
    before, finite = servers, jnp.ones(slots.row.shape, bool)
    mask = jnp.asarray(slots.mask)
    is_good = jnp.ones(spec.num_runs, bool)
    infos, server_infos = {}, {}
    for index, (client, server_step) in enumerate(spec.passes):
        key_pass = each_run(lambda key, index=index: keys.at(key, index), spec.num_runs)(key)
        now = slots._replace(mask=mask & finite)
        total, each, like, mine, info = run_chunks(spec, client, servers, mine, placed, now, key_pass, round)
        total = sum_over_devices(total, spec.num_devices)
        if spec.on_nonfinite == "drop":
            finite = finite & info["finite"]
        seen = individuals(each, slots, now.mask & finite, spec.num_runs, spec.cohort, spec.num_devices)
        step = _server_step(spec, server_step, like, round)
        servers, server_info, is_good = each_run(step, spec.num_runs)(servers, key_pass, total, seen, is_good)
        finite_so_far = infos.get("finite", True) & info["finite"]
        infos, server_infos = infos | info | {"finite": finite_so_far}, server_infos | server_info
    kept = mask & finite & is_good[slots.run]
    updated = store(clients, slots.way, kept.reshape(-1), mine, spec.grid)
    servers = each_run(choose, spec.num_runs)(is_good, servers, before)
    return servers, updated, (infos, server_infos), is_good


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


def run_chunks(spec, client, servers, mine, placed, slots, key, round):
    """The client loop: no collective inside.

    Returns ((sums, counts), individuals, uploads' types, state [slot, ...], info). sums, counts: [run, ...], the sums
    as the reduction keeps them; individuals, info: [chunk, lane, ...].
    """
    width, likes = slots.row.shape[1], []
    lift, settle, _ = aggregate.reduction(spec.reduction)

    def one(row, run, steps, mask, state):
        key_client = keys.client(pick(key, run), round, row)
        sent = spec.send(pick(servers, run), row)
        fresh = spec.init_client(keys.use(key_client, "init"), sent)
        start = choose(state.visited, state.kept, fresh)
        steps = jnp.where(mask, steps, 0)
        upload, kept, info = client(key_client, sent, start, shard_of(placed, row, steps, spec.max_count))
        upload = applied(spec.upload, keys.use(key_client, "upload"), upload)
        finite = is_finite((upload, kept, info))
        counts = mask & finite if spec.on_nonfinite == "drop" else mask
        counters = tuple(flag.astype(jnp.float32) for flag in (counts, mask & ~finite, mask))
        kept = choose(finite, kept, start)
        visited = jax.tree.map(lambda _: jnp.bool_(True), state.visited)
        likes.append(jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), upload))
        addend = (lift(aggregate.contribution(upload, counts)), counters)
        return addend, Clients(kept, visited), (aggregate.individuals(upload), named(info) | {"finite": finite})

    def chunk(index, carry):
        (sums, counts), mine, records = carry
        take = lambda leaf: lax.dynamic_slice_in_dim(leaf, index * width, width)
        put = lambda leaf, new: lax.dynamic_update_slice_in_dim(leaf, new, index * width, axis=0)
        planned = (slots.row[index], slots.run[index], slots.steps[index], slots.mask[index])
        lanes = (*planned, jax.tree.map(take, mine))
        if width == 1:  # a batch of one would turn the dynamic step count into a masked loop
            out = jax.tree.map(lambda leaf: leaf[None], one(*jax.tree.map(lambda leaf: leaf[0], lanes)))
        else:
            out = jax.vmap(one)(*lanes)
        (addend, counters), state, record = out
        return (
            (settle(add_lanes(sums, addend, lanes[1])), add_lanes(counts, counters, lanes[1])),
            jax.tree.map(put, mine, state),
            jax.tree.map(lambda leaf, new: leaf.at[index].set(new), records, record),
        )

    def group(index, carry):
        total, mine, records = carry
        end = jnp.minimum((index + 1) * GROUP, slots.num_chunks)
        inner = jax.tree.map(jnp.zeros_like, total)
        inner, mine, records = lax.fori_loop(index * GROUP, end, chunk, (inner, mine, records))
        sums, counts = jax.tree.map(jnp.add, total, inner)
        return (settle(sums), counts), mine, records

    lane = jax.tree.map(lambda leaf: leaf[0], (slots.row[0], slots.run[0], slots.steps[0], slots.mask[0], mine))
    addends, _, record = jax.eval_shape(one, *lane)
    records = jax.tree.map(lambda s: jnp.zeros((*slots.row.shape, *s.shape), s.dtype), record)
    num_groups = (slots.num_chunks + (GROUP - 1)) // GROUP
    start = (zeros(addends, spec.num_runs), mine, records)
    total, mine, (each, infos) = lax.fori_loop(jnp.int32(0), num_groups, group, start)
    return total, each, likes[0], mine, infos


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
