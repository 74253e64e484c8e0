"""Moves the kept state of a cohort's clients to the devices that train them and back, and what the server is to see
of each client to every device. Nothing else travels.

State is [client, ...], client c on device c // (clients per device). Outside the client loop, once a round. Every row
travels once each way: each device learns which rows the others want, then all send theirs, as many pieces of one size
as the busiest pair of devices needs.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from pfljax.engine.devices import AXIS
from pfljax.types import Array, Tree


class Route(NamedTuple):
    """Which rows of state go where, as this device sees it; past the end where there is none.

    owned:  [device, piece, row] int32: positions of the rows here that each device trains
    wanted: [device, piece, row] int32: the slots here whose rows each device owns; their row's place in the piece of
            the one is that in the piece of the other
    """

    owned: jax.Array
    wanted: jax.Array
    num_pieces: jax.Array


def route(state: Tree, row: Array, mask: Array, num_devices: int) -> Route | None:
    """The way of the rows of this device's slots; None if nothing has to travel. row: [slot] int32, mask: [slot]."""
    if num_devices == 1 or not jax.tree.leaves(state):
        return None
    size, num_here = row.shape[0], jax.tree.leaves(state)[0].shape[0]
    rows = lax.all_gather(jnp.where(mask, row, num_devices * num_here), AXIS)  # [device, slot]
    owner, mine = rows // num_here, lax.axis_index(AXIS)
    devices = jnp.arange(num_devices, dtype=owner.dtype)
    between = (owner[:, :, None] == devices[None, None]).sum(axis=1, dtype=jnp.int32)  # rows, [trains, owns]
    # An equal share of the slots and what chance adds to it, so that one piece is mostly enough.
    piece = min(size, math.ceil(size / num_devices + 2 * math.sqrt(size / num_devices)))

    def pieces(here: jax.Array, index: jax.Array, none: int) -> jax.Array:
        """Of [device, slot], `index` where `here` holds, in order: [device, piece, row]."""
        order = jnp.argsort(~here, axis=1, stable=True)
        chosen = jnp.take_along_axis(jnp.where(here, index, jnp.int32(none)), order, axis=1)
        return jnp.pad(chosen, ((0, 0), (0, -size % piece)), constant_values=none).reshape(num_devices, -1, piece)

    slots = jnp.arange(size, dtype=jnp.int32)[None]
    return Route(
        owned=pieces(owner == mine, rows % num_here, num_here),
        wanted=pieces(owner[mine][None] == devices[:, None], slots, size),
        num_pieces=-(-between.max() // piece),
    )


def fetch(state: Tree, row: Array, way: Route | None) -> Tree:
    """The state of this device's clients. state: [client here, ...] -> [slot, ...]."""
    if way is None:
        return jax.tree.map(lambda leaf: leaf[row], state)

    def piece(index, mine):
        def one(leaf, into):
            sent = _travel(leaf.at[way.owned[:, index]].get(mode="clip"))
            return into.at[way.wanted[:, index]].set(sent, mode="drop")

        return jax.tree.map(one, state, mine)

    empty = jax.tree.map(lambda leaf: jnp.zeros((row.shape[0], *leaf.shape[1:]), leaf.dtype), state)
    return lax.fori_loop(0, way.num_pieces, piece, empty)


def store(state: Tree, row: Array, mask: Array, new: Tree, way: Route | None) -> Tree:
    """`state` with the rows of slots where `mask` holds replaced by `new`: [slot, ...]."""
    if way is None:
        write = lambda leaf, value: leaf.at[jnp.where(mask, row, leaf.shape[0])].set(value, mode="drop")
        return jax.tree.map(write, state, new)

    def piece(index, state):
        slots = way.wanted[:, index]
        is_new = _travel(jnp.asarray(mask).at[slots].get(mode="clip"))

        def one(leaf, value):
            target = jnp.where(is_new, way.owned[:, index], leaf.shape[0])
            return leaf.at[target].set(_travel(value.at[slots].get(mode="clip")), mode="drop")

        return jax.tree.map(one, state, new)

    return lax.fori_loop(0, way.num_pieces, piece, state)


def _travel(parts: jax.Array) -> jax.Array:
    """parts[d] goes to device d; what comes from device d is in its place. parts: [device, ...]"""
    return lax.all_to_all(parts, AXIS, 0, 0)


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
