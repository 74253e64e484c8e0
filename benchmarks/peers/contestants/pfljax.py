"""pfljax through its public interface, with its defaults."""

import sys
import time
from functools import partial

import jax
import numpy as np
import optax

import pfljax as pfl
from peers.contestant import Runner, serve
from peers.contestants import pfljax_parts as parts
from peers.work import Work


def prepare(work: Work, threads: int, order: str = "exact") -> Runner:
    population = parts.population(work)
    model = parts.model(work, population)
    sizes = {"epochs": work.epochs, "batch": work.batch, "weighting": work.weighting}
    if work.inner_lr:
        algorithm = pfl.algorithms.per_fedavg(model, optax.sgd(work.lr), inner_lr=work.inner_lr, order=order, **sizes)
    else:
        algorithm = pfl.algorithms.fedavg(model, optax.sgd(work.lr), **sizes)
    vars = parts.start(work, model)
    num_rounds, cohort = work.schedule.shape
    blocks = pfl.rounds(
        algorithm, population, cohort=cohort, rounds=num_rounds, seed=work.seed, unseen=0.0, params=vars
    )
    last = []

    def run(first, count):
        done, rows = 0, []
        begin = time.perf_counter()
        while done < count:
            last[:] = [next(blocks)]
            done += last[0].num_rounds
            rows.append(last[0].rows)
        seconds = time.perf_counter() - begin
        expected = np.sort(work.schedule[first : first + done], axis=1)
        if not np.array_equal(np.sort(np.concatenate(rows), axis=1), expected):
            raise RuntimeError(f"rounds {first} to {first + done}: expected the schedule's clients, got others")
        return done, seconds

    def now():
        return last[0].result().vars if last else vars

    return Runner(run, lambda: parts.named(now().params), lambda: parts.loss(work, model, now()))


if __name__ == "__main__":
    pfl.use_cores()
    serve(partial(prepare, order=sys.argv[1] or "exact"), lambda: {"pfljax": pfl.__version__, "jax": jax.__version__})
