"""Gives the clients of a cohort their kept state and takes it back, on the devices that train them, and shows the
server what it is to see of each client, on every device.

State is [client, ...], client c on device c // (clients per device), where the plan puts as many as it can. The rows
of the others travel once each way, once a round, outside the client loop: in every hop a device sends each of its
peers as many as the busiest two of all need.
"""

import jax
import jax.numpy as jnp
from jax import lax

from pfljax.engine.devices import AXIS
from pfljax.engine.joined import joined
from pfljax.engine.route import Grid, Route, peers
from pfljax.types import Array, Tree


def fetch(state: Tree, way: Route, grid: Grid) -> Tree:
    """The state of this device's clients. state: [client here, ...] -> [slot, ...]."""
    if not jax.tree.leaves(state):
        return state
    mine = _taken(state, way.home)
    if not grid:
        return mine
    moving = state
    for hop, sent in enumerate(way.sent):
        moving = _travel(_taken(moving, sent), grid, hop)
    return jax.tree.map(lambda leaf, new: leaf.at[way.wanted].set(new, mode="drop"), mine, moving)


def store(state: Tree, way: Route, mask: jax.Array, new: Tree, grid: Grid) -> Tree:
    """`state` with the rows of slots where `mask` holds replaced by `new`: [slot, ...]."""
    if not jax.tree.leaves(state):
        return state
    state = _written(state, way.home, mask, new)
    if not grid:
        return state
    moving = _taken(new, way.wanted), mask.at[way.wanted].get(mode="fill", fill_value=False)
    for hop, sent in reversed(list(enumerate(way.sent))):
        moving = _travel(moving, grid, hop)
        if hop:  # to where it lay when the hop before had brought it
            moving = _laid(moving, sent, way.sent[hop - 1].size)
    new, mask = moving
    return _written(state, way.sent[0], mask, new)


def _taken(tree: Tree, index: jax.Array) -> Tree:
    """Rows; any, where the index is past the end."""
    return jax.tree.map(lambda leaf: leaf.at[index].get(mode="clip"), tree)


def _laid(tree: Tree, index: jax.Array, num: int) -> Tree:
    """Rows at their places among `num`."""
    empty = lambda leaf: jnp.zeros((num, *leaf.shape[1:]), leaf.dtype)
    return jax.tree.map(lambda leaf: empty(leaf).at[index].set(leaf, mode="drop"), tree)


def _written(tree: Tree, index: jax.Array, mask: jax.Array, new: Tree) -> Tree:
    """Rows replaced where `mask` holds and the index is not past the end."""
    write = lambda leaf, value: leaf.at[jnp.where(mask, index, leaf.shape[0])].set(value, mode="drop")
    return jax.tree.map(write, tree, new)


def _travel(parts: Tree, grid: Grid, hop: int) -> Tree:
    """What stands at p goes to peer p, and what comes from peer p stands there. parts: [peer * row, ...]"""
    groups, size = peers(grid, hop), grid[-1 - hop]
    apart = jax.tree.map(lambda leaf: leaf.reshape(size, -1, *leaf.shape[1:]), parts)
    swap = lambda flat: lax.all_to_all(flat, AXIS, 0, 0, axis_index_groups=groups)
    return jax.tree.map(lambda leaf, like: leaf.reshape(like.shape), joined(swap, apart, 2), parts)


def individuals(each: Tree, slots, counted: Array, num_runs: int, cohort: int, num_devices: int):
    """What a cohort's clients uploaded one by one, on every device, in the order of their rows.

    each: [chunk, lane, ...]; slots.row, slots.run, slots.mask, counted: [chunk, lane]
    Returns (each [run, client, ...], rows [run, client] int32, counted [run, client]), zeros for those that do not
    count; three () if there is nothing.
    """
    if not jax.tree.leaves(each):
        return (), (), ()
    lanes = jax.tree.map(
        lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), (each, slots.row, slots.run, slots.mask, counted)
    )
    if num_devices > 1:
        lanes = jax.tree.map(lambda leaf: lax.all_gather(leaf, AXIS, tiled=True), lanes)
    each, row, run, mask, counted = lanes

    def of_run(index):
        is_there = mask & (run == index)
        order = jnp.argsort(jnp.where(is_there, row, jnp.iinfo(row.dtype).max))[:cohort]
        counts = (is_there & counted)[order]
        pick = lambda leaf: jnp.where(_wide(counts, leaf), leaf[order], jnp.zeros((), leaf.dtype))
        return jax.tree.map(pick, each), row[order], counts

    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *[of_run(index) for index in range(num_runs)])


def _wide(flag: jax.Array, leaf: jax.Array) -> jax.Array:
    return flag.reshape(flag.shape + (1,) * (leaf.ndim - 1))
