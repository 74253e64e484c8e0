"""Moves the kept state of a cohort's clients to the devices that train them and back, and what the server is to see
of each client to every device. Nothing else travels.

State is [client, ...], client c on device c // (clients per device). Outside the client loop, once a round.
"""

import jax
import jax.numpy as jnp
from jax import lax

from pfljax.engine.devices import AXIS
from pfljax.types import Array, Tree


def fetch(state: Tree, row: jax.Array, num_devices: int) -> Tree:
    """The state of this device's clients. state: [client here, ...]; row: [slot] int32 -> [slot, ...].

    Every device offers the rows that it owns to everybody's slots and zeros elsewhere; the sum delivers them.
    """
    if num_devices == 1 or not jax.tree.leaves(state):
        return jax.tree.map(lambda leaf: leaf[row], state)
    rows = lax.all_gather(row, AXIS)  # [device, slot]
    mine = lax.axis_index(AXIS)

    def one(leaf):
        here, index = _locate(rows, mine, leaf.shape[0])
        offered = jnp.where(_wide(here, leaf), leaf[index], jnp.zeros((), leaf.dtype))
        kind = jnp.int8 if leaf.dtype == jnp.bool_ else leaf.dtype
        return lax.psum_scatter(offered.astype(kind), AXIS).astype(leaf.dtype)

    return jax.tree.map(one, state)


def store(state: Tree, row: jax.Array, mask: jax.Array, new: Tree, num_devices: int) -> Tree:
    """`state` with the rows of slots where `mask` holds replaced by `new`: [slot, ...]."""
    if num_devices == 1 or not jax.tree.leaves(state):
        write = lambda leaf, value: leaf.at[jnp.where(mask, row, leaf.shape[0])].set(value, mode="drop")
        return jax.tree.map(write, state, new)
    rows, masks = lax.all_gather(row, AXIS), lax.all_gather(mask, AXIS)
    mine = lax.axis_index(AXIS)

    def one(leaf, value):
        here, index = _locate(rows, mine, leaf.shape[0])
        target = jnp.where(here & masks, index, leaf.shape[0])
        return leaf.at[target].set(lax.all_gather(value, AXIS), mode="drop")

    return jax.tree.map(one, state, new)


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


def _locate(rows: jax.Array, mine: jax.Array, num_here: int) -> tuple[jax.Array, jax.Array]:
    """(is the row on this device, its position here), each [device, slot]."""
    owner, index = rows // num_here, rows % num_here
    return owner == mine, index


def _wide(flag: jax.Array, leaf: jax.Array) -> jax.Array:
    return flag.reshape(flag.shape + (1,) * (leaf.ndim - 1))
