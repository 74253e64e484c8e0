"""A block of rounds as one compiled program."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from pfljax.engine.devices import AXIS
from pfljax.engine.place import Placed
from pfljax.engine.round import Slots, Spec, run_round
from pfljax.engine.shelf import Shelf
from pfljax.engine.stream import here, specs
from pfljax.types import Key, Tree


class Carry(NamedTuple):
    """What goes from round to round. servers: [run, ...]; shelf: kept client state.

    halted: [run] int32, the round whose update was not finite, -1 while all is well.
    """

    servers: Tree
    shelf: Shelf
    halted: jax.Array


@partial(jax.jit, static_argnames=("spec", "mesh"), donate_argnames=("carry",))
def run_block(
    carry: Carry,
    placed: Placed,
    slots: Slots,
    first_round: jax.Array,
    num_rounds: jax.Array,
    key: Key,
    *,
    spec: Spec,
    mesh: Mesh,
):
    """(carry, client info, server info) after `num_rounds` rounds.

    slots: the plan, [round, device, chunk * lane] (num_chunks: [round, device]); key: [run]. The number of rounds is
    dynamic, so a short last block compiles nothing. Info: {name: [round, device * chunk * lane]}, {name: [round, run]}.
    Chunks and lanes are one axis here, for XLA copies whole plans that end in an axis of one lane.
    """

    def on_device(carry, placed, slots, first_round, num_rounds, key):
        slots = jax.tree.map(lambda leaf: leaf[:, 0], slots)  # [round, ...] of this device
        placed = here(placed) if spec.is_streamed else placed

        def of_round(index) -> Slots:
            now = jax.tree.map(lambda leaf: leaf[index], slots)
            lanes = jax.tree.map(lambda leaf: leaf.reshape(-1, spec.width), now._replace(way=(), num_chunks=()))
            return lanes._replace(way=now.way, num_chunks=now.num_chunks)

        def one_round(index, loop):
            (servers, shelf, halted), infos, server_infos = loop
            now = of_round(index)
            is_on = halted < 0
            now = now._replace(num_chunks=jnp.where(is_on.any(), now.num_chunks, 0))
            now = now._replace(mask=now.mask & is_on[now.run])
            round = first_round + index
            servers, shelf, (info, server_info), is_good = run_round(spec, servers, shelf, placed, now, key, round)
            halted = jnp.where(is_on & ~is_good, round, halted)
            info = jax.tree.map(jnp.ravel, info)
            put = lambda leaf, new: leaf.at[index].set(new)
            infos, server_infos = jax.tree.map(put, infos, info), jax.tree.map(put, server_infos, server_info)
            return Carry(servers, shelf, halted), infos, server_infos

        _, _, (info, server_info), _ = jax.eval_shape(
            lambda: run_round(spec, carry.servers, carry.shelf, placed, of_round(0), key, first_round)
        )
        max_rounds, num_slots = slots.row.shape
        infos = jax.tree.map(lambda s: jnp.zeros((max_rounds, num_slots), s.dtype), info)
        server_infos = jax.tree.map(lambda s: jnp.zeros((max_rounds, *s.shape), s.dtype), server_info)
        start = (carry, infos, server_infos)
        carry, infos, server_infos = lax.fori_loop(jnp.int32(0), num_rounds, one_round, start)
        return carry, infos, server_infos

    by_device: Any = P(None, AXIS)
    specs_of_carry: Any = (P(), P(AXIS), P())
    by_row = Carry(*specs_of_carry)
    return jax.shard_map(
        on_device,
        mesh=mesh,
        in_specs=(by_row, specs(spec.is_streamed), by_device, P(), P(), P()),
        out_specs=(by_row, by_device, P()),
        check_vma=False,  # see engine/round.py
    )(carry, placed, slots, first_round, num_rounds, key)
