"""One client taken out: its own model, or its next round in slow motion."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jax import lax

from pfljax import keys
from pfljax.engine.devices import on_host
from pfljax.engine.place import max_count, placed_on_host, shard_of
from pfljax.errors import PflError
from pfljax.types import Info, Personal, Tree

if TYPE_CHECKING:
    from pfljax.engine.result import Result


def personal(result: Result, client_id: str, steps: int = 0) -> Personal:
    """See `Result.personal`."""
    if steps < 0:
        raise PflError(f"steps: expected at least 0, got {steps}")
    start, step = result.algorithm.personal
    key = keys.at(keys.use(keys.root(result.seeds.model), "evaluate"), result.population.row(client_id))
    sent, mine, shard = _client(result, client_id, keys.use(key, "init"), steps)

    def adapt(key, sent, mine):
        again = lambda _, personal: step(key, personal, sent, shard)
        return lax.fori_loop(0, steps, again, start(key, sent, mine, shard))

    return jax.jit(adapt)(key, sent, mine)


def debug(result: Result, client_id: str, round: int | None = None) -> tuple[Tree, Tree, Info]:
    """A client's work of one round, op by op and uncompiled: (upload, client state, info) with real numbers.

    Starts from the state in `result`; `round` (default: the next one) gives the batches. Breakpoints, prints and
    Python's own tracebacks work inside the algorithm and the model. After `Diverged`, `debug(error.result,
    error.client_ids[0])` replays what went wrong. Only the first pass of algorithms that have several.
    """
    round = len(result.records) if round is None else round
    key = keys.at(keys.use(keys.root(result.seeds.model), "clients"), 0)
    key = keys.client(key, round, result.population.row(client_id))
    num_steps = int(result.algorithm.steps(result.population.sizes("train"))[result.population.row(client_id)])
    with jax.disable_jit():
        sent, mine, shard = _client(result, client_id, keys.use(key, "init"), num_steps)
        return result.algorithm.passes[0][0](key, sent, mine, shard)


def _client(result: Result, client_id: str, key, num_steps: int):
    """(what it is sent, its state, its shard)."""
    population, row = result.population, result.population.row(client_id)
    sent = result.algorithm.send(on_host(result.server), jnp.int32(row))
    mine = result.algorithm.init_client(key, sent)
    kept = on_host(jax.tree.map(lambda leaf: leaf[row], result.clients))
    if jax.tree.leaves(mine) and kept.visited:
        mine = jax.tree.map(jnp.asarray, kept.kept)
    alone = jax.tree.map(jnp.asarray, placed_on_host(population.take([row])))  # nobody else's rows are needed
    shard = shard_of(alone, jnp.int32(0), jnp.int32(num_steps), max_count(population))
    return sent, mine, replace(shard, row=jnp.int32(row))
