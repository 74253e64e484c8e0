"""The same pure function for every client of a list, on all devices: what evaluation runs on."""

import math
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from pfljax.engine.devices import AXIS, by_client, on_host, put, replicated
from pfljax.engine.place import Placed
from pfljax.engine.runs import each_lane
from pfljax.engine.stream import Stream, here, specs
from pfljax.plan.deal import deal
from pfljax.types import Tree

STREAMED_BYTES = 2**28  # of examples on one device at a time


def each_client(
    fn: Callable,
    spec: Hashable,
    shared: Tree,
    lanes: Tree,
    rows: np.ndarray,
    cost: np.ndarray,
    examples: Placed | Stream,
    mesh: Mesh,
    width: int,
) -> Tree:
    """fn(spec, shared, lane, placed) for every lane; returns numpy [client, ...] in the order of `lanes`.

    spec: static; shared: the same for all, replicated; lanes: pytree of [client, ...]; rows: [client, row], the
    clients of the population whose examples a lane reads; cost: [client], for balance
    """
    shared = put(shared, replicated(mesh))
    run = partial(_map_clients, fn=fn, spec=spec, mesh=mesh, width=width, is_streamed=isinstance(examples, Stream))
    if not isinstance(examples, Stream):
        return _dealt(lambda lanes, _: run(shared, lanes, examples), lanes, rows, cost, mesh, width, len(cost))
    groups = _groups(examples.sizes[rows].sum(axis=1), STREAMED_BYTES // max(1, examples.row_bytes))
    # One shape for all groups: one program.
    most_lanes = max(len(group) for group in groups)
    most_rows = max(int(examples.sizes[rows[group]].sum()) for group in groups)
    stream = lambda lanes, here: run(shared, lanes, examples.gather(here, most_rows))
    parts = [
        _dealt(
            stream,
            jax.tree.map(lambda leaf, g=group: leaf[g], lanes),
            rows[group],
            cost[group],
            mesh,
            width,
            most_lanes,
        )
        for group in groups
    ]
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def _groups(num_rows: np.ndarray, most: int) -> list[np.ndarray]:
    """Consecutive clients that have at most `most` rows together, or one client that has more. num_rows: [client]"""
    groups, begin, total = [], 0, 0
    for index, num in enumerate(num_rows.tolist()):
        if index > begin and total + num > most:
            groups.append(np.arange(begin, index))
            begin, total = index, 0
        total += num
    return [*groups, np.arange(begin, len(num_rows))]


def _dealt(
    run: Callable[[Tree, list[np.ndarray]], Tree],
    lanes: Tree,
    rows: np.ndarray,
    cost: np.ndarray,
    mesh: Mesh,
    width: int,
    most: int,
) -> Tree:
    """Deals lanes out, in arrays that have room for `most` of them, runs, and puts the outputs in order again."""
    room = math.ceil(math.ceil(most / width) / mesh.size)
    order, device, chunk, lane = deal(cost, mesh.size, width, room)
    at = np.zeros((mesh.size, room, width), np.int64)  # empty lanes repeat client 0; their output is thrown away
    at[device, chunk, lane] = order
    used = np.bincount(device[lane == 0], minlength=mesh.size).astype(np.int32)
    dealt = jax.tree.map(lambda leaf: leaf[at], lanes)
    out = run(put((dealt, used), by_client(mesh)), [rows[order[device == d]].ravel() for d in range(mesh.size)])
    place = np.empty(len(order), np.int64)
    place[order] = np.ravel_multi_index((device, chunk, lane), at.shape)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[3:])[place], on_host(out))


@partial(jax.jit, static_argnames=("fn", "spec", "mesh", "width", "is_streamed"))
def _map_clients(
    shared: Tree, dealt, placed: Placed, *, fn: Callable, spec: Hashable, mesh: Mesh, width: int, is_streamed: bool
):
    def on_device(shared, dealt, placed):
        lanes, used = jax.tree.map(lambda leaf: leaf[0], dealt)
        placed = here(placed) if is_streamed else placed
        one = lambda lane: fn(spec, shared, lane, placed)

        def chunk(index, out):
            new = each_lane(one, width)(jax.tree.map(lambda leaf: leaf[index], lanes))
            return jax.tree.map(lambda leaf, value: leaf.at[index].set(value), out, new)

        shapes = jax.eval_shape(one, jax.tree.map(lambda leaf: leaf[0, 0], lanes))
        room = jax.tree.leaves(lanes)[0].shape[0]
        zeros = jax.tree.map(lambda s: jnp.zeros((room, width, *s.shape), s.dtype), shapes)
        out = lax.fori_loop(jnp.int32(0), used, chunk, zeros)
        return jax.tree.map(lambda leaf: leaf[None], out)

    in_specs: Any = (P(), P(AXIS), specs(is_streamed))
    return jax.shard_map(on_device, mesh=mesh, in_specs=in_specs, out_specs=P(AXIS), check_vma=False)(
        shared, dealt, placed
    )
