"""`simulate`: all the rounds, and the figures to choose by on the way."""

from dataclasses import replace

import numpy as np

from pfljax.data.population import Population
from pfljax.engine.loop import rounds as run_rounds
from pfljax.engine.result import Result
from pfljax.errors import whole
from pfljax.evaluate import curve, shared
from pfljax.types import Algorithm


def simulate(
    algorithm: Algorithm, population: Population, *, rounds: int, eval_every: int | None = None, **arguments
) -> Result:
    """Runs all the rounds and returns the result. `arguments` are those of `pfljax.rounds`, `cohort` among them.

    eval_every: after so many rounds, each time, the record of the round gets `validation_<metric>`, the mean over
    seen clients of the shared model's validation figures. Test rows are not looked at.

    >>> import pfljax as pfl
    >>> clients = {i: {"x": np.full((8, 2), i, np.float32), "y": np.arange(8) % 2} for i in range(4)}
    >>> people = pfl.data.Population.from_clients(clients, about=pfl.data.About(num_classes=2))
    >>> result = pfl.simulate(pfl.algorithms.fedavg(pfl.models.mlp(people, [4])), people, cohort=2, rounds=3)
    >>> len(result.records)
    3
    """
    if eval_every is not None:
        whole("eval_every", eval_every)
    figures, block = {}, None
    for block in run_rounds(algorithm, population, rounds=rounds, pause_every=eval_every, **arguments):
        done = block.first_round + block.num_rounds
        if eval_every is not None and done % eval_every == 0:
            figures[done - 1] = _validation(block.result(), population)
    assert block is not None
    result = block.result()
    return replace(result, records=tuple(record | figures.get(record["round"], {}) for record in result.records))


def _validation(result: Result, population: Population) -> dict[str, float]:
    found = curve(shared(result), population, (0,)).values["validation"]
    return {f"validation_{metric}": float(np.nanmean(values[0, result.seen])) for metric, values in found.items()}
