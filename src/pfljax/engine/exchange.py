"""Moves the kept state of a cohort's clients to the devices that train them and back, and what the server is to see
of each client to every device. Nothing else travels.

State is [client, ...], client c on device c // (clients per device). Outside the client loop, once a round, every row
travels once each way: all devices send each other as many as the busiest two of them need.
"""

import jax
import jax.numpy as jnp
from jax import lax

from pfljax.engine.devices import AXIS
from pfljax.engine.joined import joined
from pfljax.engine.route import Route
from pfljax.types import Array, Tree


def fetch(state: Tree, way: Route, num_slots: int, num_devices: int) -> Tree:
    """The state of this device's clients. state: [client here, ...] -> [slot, ...]."""
    if num_devices == 1 or not jax.tree.leaves(state):
        return jax.tree.map(lambda leaf: leaf[way.owned], state)
    owned, wanted = (index.reshape(num_devices, -1) for index in way)
    sent = _travel(jax.tree.map(lambda leaf: leaf.at[owned].get(mode="clip"), state))
    empty = lambda leaf: jnp.zeros((num_slots, *leaf.shape[2:]), leaf.dtype)
    return jax.tree.map(lambda leaf: empty(leaf).at[wanted].set(leaf, mode="drop"), sent)


def store(state: Tree, way: Route, mask: jax.Array, new: Tree, num_devices: int) -> Tree:
    """`state` with the rows of slots where `mask` holds replaced by `new`: [slot, ...]."""
    if not jax.tree.leaves(state):
        return state
    owned = way.owned
    if num_devices > 1:
        owned, wanted = (index.reshape(num_devices, -1) for index in way)
        mask = mask.at[wanted].get(mode="fill", fill_value=False)
        new, mask = _travel((jax.tree.map(lambda leaf: leaf.at[wanted].get(mode="clip"), new), mask))
    write = lambda leaf, value: leaf.at[jnp.where(mask, owned, leaf.shape[0])].set(value, mode="drop")
    return jax.tree.map(write, state, new)


def _travel(parts: Tree) -> Tree:
    """What stands at d goes to device d, and what comes from device d stands there. parts: [device, row, ...]"""
    return joined(lambda flat: lax.all_to_all(flat, AXIS, 0, 0), parts, 2)


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
