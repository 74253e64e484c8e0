"""The largest cohort that fits on a machine that is not here."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

from pfljax.engine import Program
from pfljax.engine.job import Job, make_job
from pfljax.engine.memory import said
from pfljax.engine.ready import MAX_ROUNDS, make_program
from pfljax.engine.width import Width, fit, refusal
from pfljax.errors import PflError
from pfljax.run.ahead import arguments
from pfljax.run.config import RunConfig
from pfljax.run.job import algorithms, phase_seeds
from pfljax.run.targets import Target, mesh

PART = 16  # of a cohort, which is as exactly as the largest is wanted


@dataclass(frozen=True)
class Largest:
    """The largest cohort that fits, at one width. clients: that may be drawn; num_bytes: what it takes of a device;
    num_compiles: programs that were compiled to find it
    """

    name: str
    target: Target
    cohort: int
    width: int
    clients: int
    num_bytes: int
    num_compiles: int

    def __str__(self) -> str:
        limit = ", all that may be drawn" if self.cohort == self.clients else f" of {self.clients:,} that may be drawn"
        return (
            f"{self.name}: at most {self.cohort:,} clients a round on {self.target}, width {self.width}{limit}: "
            f"{said(self.num_bytes)} of {said(self.target.chip.memory)} on each device; {self.num_compiles} programs "
            "were compiled"
        )


def largest(config: RunConfig, target: Target) -> Iterator[Largest]:
    """The largest cohort of each method of a run that fits on `target`, found by doubling and bisection.

    At the run's width, or at the one that its own cohort would get. Compiles each cohort that
    it tries. Raises PflError if not even one client fits.
    """
    devices = mesh(target)
    population = config.population.load()
    for algorithm in filter(None, algorithms(config, population)):
        found = arguments(config, target, devices)
        job = make_job(algorithm, population, seeds=[phase_seeds(config.seed)[1]], **found)
        yield _largest(job, config.engine.width, f"{population.about.name}, {algorithm.name}", target)


def _largest(job: Job, width: Width, name: str, target: Target) -> Largest:
    made: list[Program] = []

    def compiled(job: Job, width: int, why: str) -> Program:
        made.append(make_program(job, width, why, MAX_ROUNDS))
        return made[-1]

    refused = None
    most = int(job.runs[0].census.seen.sum())
    try:
        best = fit(partial(compiled, job), job, width)
        low, high, tried = job.cohort, most + 1, most
    except PflError as error:  # memory: all else has been checked
        best, refused = None, error
        low, high, tried = 0, job.cohort, 1
    lanes = best.width if best else 1
    while low < most and high - low > max(1, low // PART):
        program = compiled(replace(job, cohort=tried), lanes, "of the largest cohort")
        if refusal(program) is None:
            best, low = program, tried
        else:
            high = tried
        tried = 2 * low if 0 < 2 * low < high else (low + high) // 2
    if best is None:
        assert refused is not None
        raise refused
    return Largest(name, target, low, lanes, most, best.device_bytes, len(made))
