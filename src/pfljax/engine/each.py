"""The same pure function for every client of a list, on all devices: what evaluation runs on."""

from collections.abc import Callable, Hashable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from pfljax.engine.devices import AXIS, by_client, replicated
from pfljax.engine.place import Placed
from pfljax.plan.deal import deal
from pfljax.types import Tree


def each_client(
    fn: Callable, spec: Hashable, shared: Tree, lanes: Tree, cost: np.ndarray, placed: Placed, mesh: Mesh, width: int
) -> Tree:
    """fn(spec, shared, lane, placed) for every lane; returns numpy [client, ...] in the order of `lanes`.

    spec: static; shared: the same for all, replicated; lanes: pytree of [client, ...]; cost: [client], for balance
    """
    num_chunks = -(-len(cost) // width)
    room = -(-num_chunks // mesh.size)
    order = np.full((mesh.size, room, width), -1)
    for device, chunks in enumerate(deal(cost, mesh.size, width, room)):
        for place, chunk in enumerate(chunks):
            order[device, place, : len(chunk)] = chunk
    used = np.array([np.any(order[device] >= 0, axis=-1).sum() for device in range(mesh.size)], np.int32)
    # Empty lanes repeat client 0; their output is thrown away.
    dealt = jax.tree.map(lambda leaf: leaf[np.maximum(order, 0)], lanes)
    out = _map_clients(
        jax.device_put(shared, replicated(mesh)),
        jax.device_put((dealt, used), by_client(mesh)),
        placed,
        fn=fn,
        spec=spec,
        mesh=mesh,
        width=width,
    )
    back = np.argsort(order.ravel(), kind="stable")[np.sum(order < 0) :]
    return jax.tree.map(lambda leaf: np.asarray(leaf).reshape(-1, *leaf.shape[3:])[back], out)


@partial(jax.jit, static_argnames=("fn", "spec", "mesh", "width"))
def _map_clients(shared: Tree, dealt, placed: Placed, *, fn: Callable, spec: Hashable, mesh: Mesh, width: int):
    def on_device(shared, dealt, placed):
        lanes, used = jax.tree.map(lambda leaf: leaf[0], dealt)
        one = lambda lane: fn(spec, shared, lane, placed)

        def chunk(index, out):
            here = jax.tree.map(lambda leaf: leaf[index], lanes)
            if width == 1:
                new = jax.tree.map(lambda x: x[None], one(jax.tree.map(lambda leaf: leaf[0], here)))
            else:
                new = jax.vmap(one)(here)
            return jax.tree.map(lambda leaf, value: leaf.at[index].set(value), out, new)

        shapes = jax.eval_shape(one, jax.tree.map(lambda leaf: leaf[0, 0], lanes))
        room = jax.tree.leaves(lanes)[0].shape[0]
        zeros = jax.tree.map(lambda s: jnp.zeros((room, width, *s.shape), s.dtype), shapes)
        out = lax.fori_loop(jnp.int32(0), used, chunk, zeros)
        return jax.tree.map(lambda leaf: leaf[None], out)

    return jax.shard_map(on_device, mesh=mesh, in_specs=(P(), P(AXIS), P()), out_specs=P(AXIS), check_vma=False)(
        shared, dealt, placed
    )
