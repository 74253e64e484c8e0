"""Speed as a ratio within one run: a round's clients against the same clients in a bare loop."""

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
from pfljax.engine.place import Placed, max_count, place, shard_of
from pfljax.gate.counters import Workload

ROUNDS_A_BLOCK = 20
REPEATS = 15


class Timing(NamedTuple):
    """Clients a second of each repeat. pfljax, bare: [repeat]"""

    pfljax: np.ndarray
    bare: np.ndarray

    @property
    def times_bare(self) -> float:
        """How many times as long a client takes as in the bare loop: the median over repeats."""
        return float(np.median(self.bare / self.pfljax))

    def __str__(self) -> str:
        low, high = np.quantile(self.bare / self.pfljax, (0.25, 0.75))
        rates = f"{np.median(self.pfljax):,.0f} clients/s, bare {np.median(self.bare):,.0f}"
        return f"{rates}: {self.times_bare:.2f} times as long (half of repeats: {low:.2f} to {high:.2f})"


def timed(of: Workload) -> Timing:
    """Both on one device, in turn, on the same clients; compile time apart.

    Bare is one jitted loop over clients: what each is sent, its work, the running sum of uploads. It has no rounds, no
    state that is kept, no checks, no records. Machines and their moods cancel out of the ratio, and so does the model.
    """
    arguments = {**of.arguments, "devices": 1}
    job = (program := prepare(of.algorithm, of.population, **arguments)).job
    loop, server, placed = bare_loop(program), job.server(job.runs[0]), place(of.population, job.mesh)
    num_rounds, pairs = ROUNDS_A_BLOCK * (1 + REPEATS), []
    for block in rounds(of.algorithm, of.population, rounds=num_rounds, block=ROUNDS_A_BLOCK, **arguments):
        clients = block.rows.ravel()
        begin = time.perf_counter()
        jax.block_until_ready(loop(server, placed, clients.astype(np.int32), job.steps[clients]))
        pairs.append((clients.size / block.seconds, clients.size / (time.perf_counter() - begin)))
    # The first of each compiles, or comes right after compiling.
    return Timing(*np.array(pairs[1:]).T)


def bare_loop(program: Program) -> Callable:
    """(server, placed, rows [client], steps [client]) -> the sum of the clients' contributions."""
    of, most = program.job.algorithm, max_count(program.job.population)

    def one(server, placed: Placed, row, steps):
        key = keys.client(keys.root(0), jnp.int32(0), row)
        sent = of.send(server, row)
        mine, shard, addends = of.init_client(key, sent), shard_of(placed, row, steps, most), []
        for client, _ in of.passes:
            upload, mine, _ = client(key, sent, mine, shard)
            addends.append(contribution(upload, jnp.bool_(True)))
        return addends

    def loop(server, placed: Placed, rows, steps):
        shapes = jax.eval_shape(one, server, placed, rows[0], steps[0])
        zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        add = lambda index, total: jax.tree.map(jnp.add, total, one(server, placed, rows[index], steps[index]))
        return lax.fori_loop(0, rows.shape[0], add, zeros)

    return jax.jit(loop)
