"""`simulate`: all the rounds, and the figures to choose by on the way."""

import inspect
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, overload

from pfljax import keys
from pfljax.checkpoints import Checkpoints
from pfljax.checkpoints.best import Better, better
from pfljax.checkpoints.fingerprint import fingerprint
from pfljax.checkpoints.keep import kept
from pfljax.checkpoints.store import Store
from pfljax.data.population import Population
from pfljax.engine.collect import Block
from pfljax.engine.loop import rounds as run_rounds
from pfljax.engine.loop import sweep
from pfljax.engine.result import Diverged, Result
from pfljax.errors import PflError
from pfljax.types import Algorithm
from pfljax.validation import Validation

DECIDING = ("cohort", "seed", "unseen", "params", "upload", "on_nonfinite", "reduction")  # what comes out, to rounding
Figures = dict[int, dict[int, dict[str, float]]]  # {run: {round: figures}}


@overload
def simulate(
    algorithm: Algorithm,
    population: Population,
    *,
    rounds: int,
    seeds: None = None,
    eval_every: int | None = None,
    checkpoints: Checkpoints | None = None,
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


def simulate(algorithm, population, *, rounds, seeds=None, hyper=None, eval_every=None, checkpoints=None, **arguments):
    """Runs all the rounds and returns the result. `arguments` are those of `pfljax.rounds`, `cohort` among them.

    seeds: several runs in one program, one for each seed, e.g. `range(10)`; returns a tuple with a result of each.
    hyper: {name: values} of the algorithm's scalars (`algorithm.hyper`), the first values together, then the second,
    and so on; each such setting is run with every seed, the first setting's seeds first. A run of several that
    diverges stops alone; its result says so in `diverged`.
    eval_every: after so many rounds, each time, the record of the round gets `validation_<metric>`, the mean over
    seen clients of the shared model's validation figures. Test rows are not looked at.
    checkpoints: a `pfl.Checkpoints`: the run is saved there, and goes on from its last complete checkpoint, bit for bit
    on the same devices. `rounds` may have been raised; what differs otherwise is refused, field by field.

    >>> import numpy as np, pfljax as pfl
    >>> clients = {i: {"x": np.full((8, 2), i, np.float32), "y": np.arange(8) % 2} for i in range(4)}
    >>> people = pfl.data.Population.from_clients(clients, about=pfl.data.About(num_classes=2))
    >>> algorithm = pfl.algorithms.fedavg(pfl.models.mlp(people, [4]))
    >>> result = pfl.simulate(algorithm, people, cohort=2, rounds=3)
    >>> len(result.records)
    3
    >>> len(pfl.simulate(algorithm, people, cohort=2, rounds=3, seeds=range(5)))
    5
    """
    validation = Validation(population, eval_every)
    if "pause_every" in arguments:
        raise PflError("pause_every: expected eval_every in its place, or your own loop over pfljax.rounds")
    if seeds is None:
        if hyper is not None:
            raise PflError("hyper: expected seeds beside it, got none; pass seeds=[0], say")
    elif "seed" in arguments:
        raise PflError("seed: expected either seed or seeds, got both; leave one out")
    elif checkpoints is not None:
        raise PflError("checkpoints: expected a single run, got seeds; run them one by one, each with its own folder")
    figures: Figures = defaultdict(dict)
    with ExitStack() as held:
        if seeds is None:
            store = None
            if checkpoints is not None:
                store = held.enter_context(_store(algorithm, population, checkpoints, eval_every, arguments))
                arguments["resume"] = store.resume
            ran = run_rounds(algorithm, population, rounds=rounds, pause_every=eval_every, **arguments)
            blocks = ((block,) for block in (ran if store is None else kept(ran, store, rounds, figures=figures[0])))
        else:
            blocks = sweep(
                algorithm, population, rounds=rounds, seeds=seeds, hyper=hyper, pause_every=eval_every, **arguments
            )
        results = _results(blocks, validation, figures)
    return results[0] if seeds is None else tuple(results)


def _results(blocks: Iterable[tuple[Block, ...]], validation: Validation, figures: Figures) -> list[Result]:
    """The last block's results, with the validation figures of the rounds where they are due."""
    made = ()
    try:
        for made in blocks:
            for run, block in enumerate(made):
                if found := validation.figures(block):
                    figures[run][block.first_round + block.num_rounds - 1] = found
    except Diverged as error:
        error.result = _with(figures[0], error.result)
        raise
    return [_with(figures[run], block.result()) for run, block in enumerate(made)]


def _store(
    algorithm: Algorithm,
    population: Population,
    checkpoints: Checkpoints,
    eval_every: int | None,
    arguments: Mapping[str, Any],
) -> Store:
    """The open checkpoints of a run. Raises PflError if they are another run's, or `best` is no metric."""
    end: Better = "lower"
    if checkpoints.best is not None:
        if eval_every is None:
            raise PflError("checkpoints.best: expected eval_every beside it, got none; validation figures come with it")
        end = better(checkpoints.best, algorithm.model, "checkpoints.best")
    defaults = {name: given.default for name, given in inspect.signature(run_rounds).parameters.items()}
    what: dict[str, Any] = {name: arguments.get(name, defaults[name]) for name in DECIDING}
    what |= {"seed": keys.seeds(what["seed"]), "eval_every": eval_every}
    return Store(checkpoints, fingerprint(algorithm, population, what), better=end)


def _with(figures: Mapping[int, dict[str, float]], result: Result) -> Result:
    """The result with figures in its records. figures: {round: figures}"""
    return replace(result, records=tuple(each | figures.get(each["round"], {}) for each in result.records))
