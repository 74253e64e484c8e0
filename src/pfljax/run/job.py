"""The comparison itself, as a generator of events: load, train, evaluate. It prints and writes nothing."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import optax

from pfljax import keys
from pfljax.checkpoints.best import Better, better
from pfljax.checkpoints.keep import kept
from pfljax.checkpoints.store import Store
from pfljax.data import Population
from pfljax.engine import Block, Result, rounds
from pfljax.engine.snapshot import Resume
from pfljax.engine.stream import examples_of
from pfljax.evaluate import Curve, Entry, Evaluation, alone, constant, curve, donor
from pfljax.run.config import RunConfig
from pfljax.run.methods import FinetuneConfig
from pfljax.types import Algorithm, Vars
from pfljax.validation import Validation

WARMUP, FEDAVG, EVALUATION = "warmup", "fedavg", "evaluation"
CONSTANT, ALONE, SHARED, FINETUNED, DONOR = (
    "constant", "local-only", "FedAvg shared", "FedAvg fine-tuned", "donor control",
)  # fmt: skip


@dataclass(frozen=True)
class Ready:
    """Everything has been checked; nothing has been computed yet."""

    population: Population


@dataclass(frozen=True)
class Started:
    """A phase begins. size: its rounds, or the evaluation's curves."""

    phase: str
    size: int


@dataclass(frozen=True)
class Trained:
    """Some rounds of a phase have been executed. records: one dict a round, for rounds.jsonl, with validation figures
    where they were due; how: width, and why.

    is_restored: they are the first ones of their phase, of a run that this one goes on from
    """

    phase: str
    records: tuple[dict, ...]
    how: str = ""
    is_restored: bool = False


@dataclass(frozen=True)
class Evaluated:
    """One of the evaluation's curves is there."""

    curve: Curve


@dataclass(frozen=True)
class Finished:
    """All is there. personal: the name of the personalized entry."""

    evaluation: Evaluation
    personal: str


Event = Ready | Started | Trained | Evaluated | Finished


Opened = Callable[[str, Population], Store]  # a phase's checkpoints
Figures = dict[int, dict[str, float]]  # {round: {validation_<metric>: figure}}


def job(
    config: RunConfig, opened: Opened | None = None, asked: Callable[[], bool] = lambda: False
) -> Generator[Event, None, None]:
    """Runs one comparison and yields what happens.

    opened: the checkpoints of a phase, which it goes on from and is saved to; asked: whether to stop after the block

    Raises PflError for what cannot run, before anything is computed; `Diverged`; `Interrupted` if it was asked to stop.
    """
    population = config.population.load()
    fedavg, personal = algorithms(config, population)
    first, second = phase_seeds(config.seed)
    for algorithm in filter(None, (fedavg, personal)):
        _rounds(algorithm, population, config, config.rounds, second)  # checks its arguments, runs nothing yet
    judged(config, population)
    yield Ready(population)

    def train(phase: str, algorithm: Algorithm, num_rounds: int, seed: keys.Seeds, start: Vars | None):
        yield Started(phase, num_rounds)
        figures: Figures = {}
        validation = Validation(population, config.eval_every, "--eval-every")
        if opened is None:
            blocks = _rounds(algorithm, population, config, num_rounds, seed, start)
            result = yield from _recorded(phase, blocks, validation, figures)
        else:
            with opened(phase, population) as store:
                blocks = _rounds(algorithm, population, config, num_rounds, seed, start, store.resume)
                saved = kept(blocks, store, num_rounds, asked, figures)
                result = yield from _recorded(phase, saved, validation, figures, store)
        return result

    start = None
    if config.warmup_rounds:
        warm = yield from train(WARMUP, fedavg, config.warmup_rounds, first, None)
        start = warm.vars
    shared = yield from train(FEDAVG, fedavg, config.rounds, second, start)
    tuned = None
    if personal is not None:
        tuned = yield from train(config.algorithm.name, personal, config.rounds, second, start)

    evaluation = yield from _evaluate(config, population, shared, tuned)
    yield Finished(evaluation, config.algorithm.title)


def algorithms(config: RunConfig, population: Population) -> tuple[Algorithm, Algorithm | None]:
    """(FedAvg, the personalized algorithm if it is another): FedAvg twice would only repeat itself."""
    model = config.population.model(population)
    is_fedavg = isinstance(config.algorithm, FinetuneConfig)
    return FinetuneConfig().build(model, config), None if is_fedavg else config.algorithm.build(model, config)


def judged(config: RunConfig, population: Population) -> tuple[str, Better] | None:
    """(the validation metric that says which round is best, which end of it is good); None if nothing is looked at.

    Raises PflError if `--checkpoint.best` is no metric of the model.
    """
    if config.eval_every is None:
        return None
    model = config.population.model(population)
    metric = config.checkpoint.best or model.metrics[0][0]
    return metric, better(metric, model, "--checkpoint.best")


def phase_seeds(seed: int) -> tuple[keys.Seeds, keys.Seeds]:
    """The warm start's and what follows: the same unseen clients, other cohorts and batches."""
    other = int(keys.host(seed, "after the warm start").integers(2**31))
    return keys.seeds(seed), keys.Seeds(seed, other, other)


def _rounds(
    algorithm: Algorithm,
    population: Population,
    config: RunConfig,
    num_rounds: int,
    seed: keys.Seeds,
    start: Vars | None = None,
    resume: Resume | None = None,
) -> Iterator[Block]:
    return rounds(
        algorithm,
        population,
        cohort=config.cohort,
        rounds=num_rounds,
        seed=seed,
        unseen=config.unseen,
        params=start,
        pause_every=config.eval_every,
        resume=resume,
        **how(config),
    )


def how(config: RunConfig) -> dict[str, Any]:
    """The arguments of `rounds` that say how, not what."""
    engine = config.engine
    return {
        "on_nonfinite": config.on_nonfinite,
        "width": engine.width,
        "devices": engine.devices,
        "reduction": engine.reduction,
        "examples": engine.examples,
        "state": engine.state,
    }


def _recorded(
    phase: str, blocks: Iterator[Block], validation: Validation, figures: Figures, store: Store | None = None
) -> Generator[Event, None, Result]:
    """Yields the records of every block, those that it goes on from first; returns the last block's result.

    figures: {round: validation figures}, filled here before a block is saved
    """
    named = lambda records: tuple({"phase": phase} | each | figures.get(each["round"], {}) for each in records)
    block = None
    for block in blocks:
        how = f"width {block.width}: {block.why}"
        if store is not None and store.restored is not None and block.first_round == store.restored.round:
            yield Trained(phase, named(store.restored.records), how, is_restored=True)
        if block.num_rounds:
            if found := validation.figures(block):
                figures[block.first_round + block.num_rounds - 1] = found
            yield Trained(phase, named(block.records), how)
    assert block is not None
    return block.result()


def marks(most_steps: int) -> tuple[int, ...]:
    """The numbers of adaptation steps to choose from: none, a twentieth, a quarter and all of the most.

    >>> marks(100)
    (0, 5, 25, 100)
    """
    return tuple(sorted({0, most_steps // 20, most_steps // 4, most_steps}))


def _evaluate(
    config: RunConfig, population: Population, shared: Result, tuned: Result | None
) -> Generator[Event, None, Evaluation]:
    """Every client's figures; `shared` is what FedAvg left, `tuned` the personalized algorithm if it is another."""
    seen, adapt, local = shared.seen, config.adapt, config.local
    examples = examples_of(population, shared.mesh, shared.examples)
    yield Started(EVALUATION, 4 + (tuned is not None))

    def chosen(name: str, result: Result, steps: tuple[int, ...]) -> Generator[Event, None, Entry]:
        made = curve(result, population, steps, examples=examples)
        yield Evaluated(made)
        return Entry.chosen(name, made, result)

    frequencies = yield from chosen(CONSTANT, constant(shared, population), (0,))
    unaided = alone(shared, optax.sgd(local.lr), local.batch)
    by_itself = yield from chosen(ALONE, unaided, tuple(sorted({local.most_steps // 2, local.most_steps})))
    finetuned = yield from chosen(FINETUNED, shared, marks(adapt.most_steps))
    no_step = Entry(SHARED, finetuned.curve, np.zeros(len(seen), int))  # the fine-tuning's start is the shared model
    entries = [frequencies, by_itself, no_step, finetuned]
    if tuned is not None:
        entries.append((yield from chosen(config.algorithm.title, tuned, marks(adapt.most_steps))))
    entries.append(donor(DONOR, shared, population, finetuned, examples))
    yield Evaluated(entries[-1].curve)
    return Evaluation(tuple(entries), SHARED, shared.ids, seen, population.sizes("test"))
