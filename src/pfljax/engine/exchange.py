"""Moves the kept state of a cohort's clients to the devices that train them, and back. Nothing else travels.

State is [client, ...], client c on device c // (clients per device). Outside the client loop, once a round.
"""

import jax
import jax.numpy as jnp
from jax import lax

from pfljax.engine.devices import AXIS
from pfljax.types import Tree


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


def _locate(rows: jax.Array, mine: jax.Array, num_here: int) -> tuple[jax.Array, jax.Array]:
    """(is the row on this device, its position here), each [device, slot]."""
    owner, index = rows // num_here, rows % num_here
    return owner == mine, index


def _wide(flag: jax.Array, leaf: jax.Array) -> jax.Array:
    return flag.reshape(flag.shape + (1,) * (leaf.ndim - 1))
