"""Brings the state of clients that are trained elsewhere than where they are kept, takes it home again, and shows the
server what it is to see of each client, on every device.

Client c is kept on device c // (clients per device), where the plan trains as many as it can. The rows of the others
travel once each way, once a round, outside the client loop: in every hop a device sends each of its peers as many as
the busiest two of all need.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from pfljax.engine.devices import AXIS
from pfljax.engine.joined import joined
from pfljax.engine.route import Grid, num_peers, peers
from pfljax.engine.shelf import Shelf, taken
from pfljax.types import Array, Tree


def fetch(shelf: Shelf, way: Any, grid: Grid) -> tuple[Shelf, Any, Any]:
    """(the shelf, the row of each slot's client: [slot] int32, whether it has taken part before: [slot] bool).

    A guest's state is brought to the slot's free row. way: a `Route`, or () for methods that keep nothing
    """
    if way == ():
        return shelf, (), ()
    is_home = way.home < len(shelf.place)
    source = jnp.where(is_home, taken(shelf.place, way.home), shelf.free)
    if not grid:
        return shelf, source, taken(shelf.rows.visited, source)
    moving = taken(shelf.rows, taken(shelf.place, way.sent[0]))
    for hop, sent in enumerate(way.sent):
        moving = _travel(taken(moving, sent) if hop else moving, grid, hop)
    into = shelf.free.at[way.wanted].get(mode="fill", fill_value=len(shelf.place) + len(shelf.free))
    rows = _written(shelf.rows, into, moving)
    return shelf._replace(rows=rows), source, taken(rows.visited, source)


def store(shelf: Shelf, way: Any, mask: jax.Array, grid: Grid) -> Shelf:
    """The shelf when what stands in the slots' free rows has become their clients' state where `mask` [slot] holds."""
    if way == ():
        return shelf
    shelf = shelf._replace(rows=shelf.rows._replace(visited=shelf.rows.visited.at[shelf.free].set(True)))
    moved = _owned(shelf, way.home, mask)
    if not grid:
        return moved
    moving = taken(shelf.rows, taken(shelf.free, way.wanted)), mask.at[way.wanted].get(mode="fill", fill_value=False)
    for hop, sent in reversed(list(enumerate(way.sent))):
        moving = _travel(moving, grid, hop)
        if hop:  # to where it lay when the hop before had brought it
            moving = _laid(moving, sent, way.sent[hop - 1].size)
    new, mask = moving
    into = jnp.where(mask, taken(moved.place, way.sent[0]), len(shelf.place) + len(shelf.free))
    return moved._replace(rows=_written(moved.rows, into, new))


def _owned(shelf: Shelf, home: jax.Array, mask: jax.Array) -> Shelf:
    """Slots' free rows change places with those of the clients that are kept here, where `mask` holds."""
    num_here = len(shelf.place)
    new = shelf.place.at[jnp.where(mask, home, num_here)].set(shelf.free, mode="drop")
    free = jnp.where(mask & (home < num_here), taken(shelf.place, home), shelf.free)
    return shelf._replace(place=new, free=free)


def _laid(tree: Tree, index: jax.Array, num: int) -> Tree:
    """Rows at their places among `num`."""
    empty = lambda leaf: jnp.zeros((num, *leaf.shape[1:]), leaf.dtype)
    return jax.tree.map(lambda leaf: empty(leaf).at[index].set(leaf, mode="drop"), tree)


def _written(rows: Tree, index: jax.Array, new: Tree) -> Tree:
    """Rows replaced where the index is not past the end."""
    return jax.tree.map(lambda leaf, value: leaf.at[index].set(value, mode="drop"), rows, new)


def _travel(parts: Tree, grid: Grid, hop: int) -> Tree:
    """What stands at p goes to peer p, and what comes from peer p stands there. parts: [peer * row, ...]"""
    apart = jax.tree.map(lambda leaf: leaf.reshape(num_peers(grid, hop), -1, *leaf.shape[1:]), parts)
    if num_peers(grid, hop) == 1:
        swap = lambda flat: lax.ppermute(flat, AXIS, [(0, 1), (1, 0)])
    else:
        swap = lambda flat: lax.all_to_all(flat, AXIS, 0, 0, axis_index_groups=peers(grid, hop))
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
