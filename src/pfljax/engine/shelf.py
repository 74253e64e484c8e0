"""Where kept client state stands while rounds run: rows in any order, and who has which.

What a round makes of a client's state is written into a row that is nobody's. When the round has turned out good, the
row becomes the client's and the old one nobody's: nothing is copied, and a bad round leaves all as it was.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from pfljax.engine.devices import AXIS, by_client, put
from pfljax.types import Tree


class Clients(NamedTuple):
    """Kept client state: kept [client, ...]; visited [client] bool, False until a client first takes part.

    Both are () for methods that keep nothing. In a sweep the client axis holds one run's clients after another's.
    """

    kept: Tree
    visited: Tree


class Shelf(NamedTuple):
    """Clients' rows on one device, or [device * ...] of all; () for methods that keep nothing.

    rows: [client here + slot, ...]; place: [client here] int32, whose row is which; free: [slot] int32, nobody's rows
    """

    rows: Clients
    place: Any
    free: Any


def shapes(clients: Clients, num_slots: int, mesh: Mesh) -> Shelf:
    """The shelf that `clients`, shapes padded to the mesh, stand on. num_slots: free rows on one device"""
    if not jax.tree.leaves(clients):
        return Shelf(clients, (), ())
    num_here, here = len(clients.visited) // mesh.size, by_client(mesh)
    shape = lambda num, inner, dtype: jax.ShapeDtypeStruct((mesh.size * num, *inner), dtype, sharding=here)
    rows = jax.tree.map(lambda s: shape(num_here + num_slots, s.shape[1:], s.dtype), clients)
    return Shelf(rows, shape(num_here, (), np.int32), shape(num_slots, (), np.int32))


def ordered(rows: Clients, num_slots: int, mesh: Mesh) -> Shelf:
    """The shelf of rows [device * (client here + slot), ...] in which clients come first, in their order."""
    if not jax.tree.leaves(rows):
        return Shelf(rows, (), ())
    order = np.tile(np.arange(len(rows.visited) // mesh.size, dtype=np.int32), (mesh.size, 1))
    return Shelf(rows, *put((order[:, :-num_slots].ravel(), order[:, -num_slots:].ravel()), by_client(mesh)))


@partial(jax.jit, static_argnames=("mesh",), donate_argnames=("shelf",))
def filled(shelf: Shelf, clients: Clients, *, mesh: Mesh) -> Shelf:
    """The shelf with other clients on it. clients: [device * client here, ...], in order"""

    def here(shelf: Shelf, clients: Clients) -> Shelf:
        put_first = lambda rows, new: lax.dynamic_update_slice_in_dim(rows, new, 0, axis=0)
        order = jnp.arange(len(shelf.place) + len(shelf.free), dtype=np.int32)
        return Shelf(jax.tree.map(put_first, shelf.rows, clients), *jnp.split(order, [len(shelf.place)]))

    return _on_devices(here, mesh)(shelf, clients) if jax.tree.leaves(clients) else shelf


@partial(jax.jit, static_argnames=("mesh",))
def in_order(shelf: Shelf, *, mesh: Mesh) -> Clients:
    """A copy of the clients' rows in their order: [device * client here, ...]."""
    here = lambda shelf: taken(shelf.rows, shelf.place)
    return _on_devices(here, mesh)(shelf) if jax.tree.leaves(shelf) else shelf.rows


def lanes_of(rows: Tree, index: jax.Array) -> Tree:
    """The rows of one chunk's lanes. index: [lane]"""
    if len(index) == 1:  # a slice, where a gather would cost three times as much on a CPU
        return jax.tree.map(lambda leaf: lax.dynamic_slice_in_dim(leaf, index[0], 1), rows)
    return taken(rows, index)


def with_lanes(rows: Tree, index: jax.Array, new: Tree) -> Tree:
    """`rows` with those of one chunk's lanes replaced."""
    if len(index) == 1:
        put = lambda leaf, value: lax.dynamic_update_slice_in_dim(leaf, value, index[0], axis=0)
    else:
        put = lambda leaf, value: leaf.at[index].set(value, mode="drop", unique_indices=True)
    return jax.tree.map(put, rows, new)


def taken(rows: Tree, index: jax.Array) -> Tree:
    """Rows; any, where the index is past the end."""
    return jax.tree.map(lambda leaf: leaf.at[index].get(mode="clip"), rows)


def _on_devices(fn, mesh: Mesh):
    return jax.shard_map(fn, mesh=mesh, in_specs=P(AXIS), out_specs=P(AXIS), check_vma=False)
