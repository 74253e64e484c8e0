"""`simulate`: all the rounds, and the figures to choose by on the way."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, overload

import numpy as np

from pfljax import keys
from pfljax.data.population import Population
from pfljax.engine.loop import rounds as run_rounds
from pfljax.engine.loop import sweep
from pfljax.engine.place import Placed
from pfljax.engine.result import Diverged, Result
from pfljax.engine.stream import Stream, examples_of
from pfljax.errors import PflError, whole
from pfljax.evaluate import curve, shared
from pfljax.types import Algorithm


@overload
def simulate(
    algorithm: Algorithm,
    population: Population,
    *,
    rounds: int,
    seeds: None = None,
    eval_every: int | None = None,
    **arguments: Any,
) -> Result: ...


@overload
def simulate(
    algorithm: Algorithm,
    population: Population,
    *,
    rounds: int,
    seeds: Sequence[int | keys.Seeds],
    hyper: Mapping[str, Sequence[float]] | None = None,
    eval_every: int | None = None,
    **arguments: Any,
) -> tuple[Result, ...]: ...


def simulate(algorithm, population, *, rounds, seeds=None, hyper=None, eval_every=None, **arguments):
    """Runs all the rounds and returns the result. `arguments` are those of `pfljax.rounds`, `cohort` among them.

    seeds: several runs in one program, one for each seed, e.g. `range(10)`; returns a tuple with a result of each.
    hyper: {name: values} of the algorithm's scalars (`algorithm.hyper`), the first values together, then the second,
    and so on; each such setting is run with every seed, the first setting's seeds first. A run of several that
    diverges stops alone; its result says so in `diverged`.
    eval_every: after so many rounds, each time, the record of the round gets `validation_<metric>`, the mean over
    seen clients of the shared model's validation figures. Test rows are not looked at.

    >>> import pfljax as pfl
    >>> clients = {i: {"x": np.full((8, 2), i, np.float32), "y": np.arange(8) % 2} for i in range(4)}
    >>> people = pfl.data.Population.from_clients(clients, about=pfl.data.About(num_classes=2))
    >>> algorithm = pfl.algorithms.fedavg(pfl.models.mlp(people, [4]))
    >>> result = pfl.simulate(algorithm, people, cohort=2, rounds=3)
    >>> len(result.records)
    3
    >>> len(pfl.simulate(algorithm, people, cohort=2, rounds=3, seeds=range(5)))
    5
    """
    if eval_every is not None:
        whole("eval_every", eval_every)
    if "pause_every" in arguments:
        raise PflError("pause_every: expected eval_every in its place, or your own loop over pfljax.rounds")
    if seeds is None:
        if hyper is not None:
            raise PflError("hyper: expected seeds beside it, got none; pass seeds=[0], say")
        blocks = (
            (block,) for block in run_rounds(algorithm, population, rounds=rounds, pause_every=eval_every, **arguments)
        )
    else:
        if "seed" in arguments:
            raise PflError("seed: expected either seed or seeds, got both; leave one out")
        blocks = sweep(
            algorithm, population, rounds=rounds, seeds=seeds, hyper=hyper, pause_every=eval_every, **arguments
        )
    made, figures, examples = (), {}, None
    try:
        for made in blocks:
            for run, block in enumerate(made):
                done = block.first_round + block.num_rounds
                if eval_every is not None and block.num_rounds and done % eval_every == 0:
                    result = block.result()
                    examples = examples or examples_of(population, result.mesh, result.examples)
                    figures[run, done - 1] = _validation(result, population, examples)
    except Diverged as error:
        error.result = _with(figures, 0, error.result)
        raise
    results = [_with(figures, run, block.result()) for run, block in enumerate(made)]
    return results[0] if seeds is None else tuple(results)


def _with(figures: dict[tuple[int, int], dict[str, float]], run: int, result: Result) -> Result:
    """The result with the figures of one run in its records. figures: {(run, round): figures}"""
    return replace(result, records=tuple(each | figures.get((run, each["round"]), {}) for each in result.records))


def _validation(result: Result, population: Population, examples: Placed | Stream) -> dict[str, float]:
    found = curve(shared(result), population, (0,), examples=examples).values["validation"]
    return {f"validation_{metric}": float(np.nanmean(values[0, result.seen])) for metric, values in found.items()}
