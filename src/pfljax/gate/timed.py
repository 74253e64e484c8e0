"""Speed as a ratio within one run: a round's clients against the same clients in a bare loop."""

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pfljax import keys
from pfljax.aggregate import contribution
from pfljax.engine import Program, prepare, rounds
from pfljax.engine.place import Placed, place, shard_of
from pfljax.gate.counters import Workload

ROUNDS_A_BLOCK = 10
REPEATS = 9


class Timing(NamedTuple):
    """Clients a second, medians over repeats."""

    pfljax: float
    bare: float

    @property
    def times_bare(self) -> float:
        """How many times as long a client takes as in the bare loop."""
        return self.bare / self.pfljax


def timed(of: Workload) -> Timing:
    """Both on one device, in turn, on the same clients; compile time apart.

    Bare is one jitted loop over clients: what each is sent, its work, the running sum of uploads. It has no rounds, no
    state that is kept, no checks, no records. Machines and their moods cancel out of the ratio, and so does the model.
    """
    arguments = {**of.arguments, "devices": 1}
    program = prepare(of.algorithm, of.population, **arguments)
    loop = bare_loop(program)
    server, placed, steps = (
        program.job.server(program.job.runs[0]),
        place(of.population, program.job.mesh),
        program.job.steps,
    )
    pairs = []
    for block in rounds(
        of.algorithm, of.population, rounds=ROUNDS_A_BLOCK * (1 + REPEATS), block=ROUNDS_A_BLOCK, **arguments
    ):
        clients = block.rows.ravel()
        begin = time.perf_counter()
        jax.block_until_ready(loop(server, placed, clients.astype(np.int32), steps[clients]))
        pairs.append((clients.size / block.seconds, clients.size / (time.perf_counter() - begin)))
    # The first of each compiles, or comes right after compiling.
    return Timing(*(statistics.median(rates) for rates in zip(*pairs[1:], strict=True)))


def bare_loop(program: Program) -> Callable:
    """(server, placed, rows [client], steps [client]) -> the sum of the clients' contributions."""
    spec = program.job.spec()

    def one(server, placed: Placed, row, steps):
        key = keys.client(keys.root(0), jnp.int32(0), row)
        sent = spec.send(server, row)
        mine, shard, addends = spec.init_client(key, sent), shard_of(placed, row, steps, spec.max_count), []
        for client, _ in spec.passes:
            upload, mine, _ = client(key, sent, mine, shard)
            addends.append(contribution(upload, jnp.bool_(True)))
        return addends

    def loop(server, placed: Placed, rows, steps):
        shapes = jax.eval_shape(one, server, placed, rows[0], steps[0])
        zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        add = lambda index, total: jax.tree.map(jnp.add, total, one(server, placed, rows[index], steps[index]))
        return lax.fori_loop(0, rows.shape[0], add, zeros)

    return jax.jit(loop)
