"""A run's rounds compiled for a machine that is not here: whether they fit, what they cost, how long they would take.

Times are predictions from data sheets, and floors: nothing here says how well a device keeps its units busy.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from pfljax.engine import Program, prepare
from pfljax.engine.job import Job, make_job
from pfljax.engine.memory import said
from pfljax.engine.ready import MAX_ROUNDS, make_program
from pfljax.engine.round import GROUP
from pfljax.engine.width import Width, fit, refusal
from pfljax.errors import PflError
from pfljax.gate.operations import equations
from pfljax.plan import Plan
from pfljax.run.config import RunConfig
from pfljax.run.estimate import ROUNDS, Estimate, estimate
from pfljax.run.hlo import Collective, Round, Turns, read_round
from pfljax.run.job import algorithms, how, phase_seeds
from pfljax.run.options import parse
from pfljax.run.targets import NAMES, Target, mesh, target

HOP = 1e-6  # seconds from one device to the next: about what is known of TPUs, assumed of GPUs


class Prediction(NamedTuple):
    """Seconds of a round: operations at the peak, traffic at the full bandwidth, collectives on empty links.

    Arithmetic and traffic run side by side, collectives after them.
    """

    arithmetic: float
    traffic: float
    collectives: float

    @property
    def seconds(self) -> float:
        return max(self.arithmetic, self.traffic) + self.collectives


@dataclass(frozen=True)
class Ahead:
    """One method's rounds on one target; a round is the mean over the first ten.

    operations: floating-point, of a device on average; most_operations: of the one that has the most to do
    empty: lanes that no client fills; idle: devices without a client
    """

    estimate: Estimate
    target: Target
    operations: float
    most_operations: float
    is_half: bool
    round: Round
    empty: float
    idle: float
    prediction: Prediction

    def __str__(self) -> str:
        made, chip, spent = self.estimate, self.target.chip, self.prediction
        peak = chip.bf16 if self.is_half else chip.float32
        several = "s" if made.num_devices > 1 else ""
        lines = [
            f"{made.name}: {made.cohort} clients a round on {self.target}, width {made.width} ({made.why})",
            f"  each device  {said(made.total)} of {said(made.free)}: {said(made.server)} of parameters and server "
            f"state, {said(made.clients)} of client state, {said(made.examples)} of examples"
            f"{', streamed' if made.is_streamed else ''}, {said(made.plan)} of plan, {said(made.temporaries)} of "
            "temporaries and program",
            f"  a round      {made.steps:,.0f} steps on {made.num_devices} device{several}; of each "
            f"{self.operations / 1e9:,.3g} GFLOP (at most {self.most_operations / 1e9:,.3g}), "
            f"{said(self.round.traffic)} to and from memory, {self.round.instructions:,.0f} instructions in a row",
            f"  between them {_listed(self.round.collectives)}",
            f"  compiling    {made.compile_seconds:.1f} s",
            f"  prediction   at least {_time(spent.seconds)} a round, not measured: {_time(spent.arithmetic)} of "
            f"arithmetic at {peak / 1e12:,.0f} TFLOP/s beside {_time(spent.traffic)} of memory traffic at "
            f"{chip.bandwidth / 1e9:,.0f} GB/s, then {_time(spent.collectives)} of collectives; its instructions would "
            f"take {_time(spent.seconds / max(1.0, self.round.instructions))} each",
        ]
        if self.empty:
            idle = f"; {self.idle:,.3g} of {made.num_devices} devices have no client" if self.idle else ""
            lanes = made.cohort + self.empty
            lines.insert(1, f"  padded       {self.empty:,.3g} of {lanes:,.3g} lanes stay empty in a round{idle}")
        return "\n".join(lines)


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


def ahead(config: RunConfig, target: Target) -> Iterator[Ahead]:
    """Compiles what each method of a run would run on `target`, one after another.

    Raises PflError, with the numbers, for what does not fit, and where the compiler is not installed.
    """
    for name, program in programs(config, target):
        yield look(program, name, target)


def largest(config: RunConfig, target: Target) -> Iterator[Largest]:
    """The largest cohort of each method of a run that fits on `target`, found by doubling and bisection.

    At the run's width, or at the one that its own cohort would get; to one part in sixteen. Compiles each cohort that
    it tries. Raises PflError if not even one client fits.
    """
    devices = mesh(target)
    population = config.population.load()
    for algorithm in filter(None, algorithms(config, population)):
        job = make_job(
            algorithm, population, seeds=[phase_seeds(config.seed)[1]], **_arguments(config, target, devices)
        )
        yield _largest(job, config.engine.width, f"{population.about.name}, {algorithm.name}", target)


def _largest(job: Job, width: Width, name: str, target: Target) -> Largest:
    made: list[Program] = []

    def compiled(job: Job, width: int, why: str) -> Program:
        made.append(make_program(job, width, why, MAX_ROUNDS))
        return made[-1]

    most = int(job.runs[0].census.seen.sum())
    try:
        best = fit(partial(compiled, job), job, width)
        low, high = job.cohort, None
    except PflError:  # memory: all else has been checked
        best, low, high = None, 0, job.cohort
    lanes = best.width if best else 1
    tried = most if best else 1
    while True:
        program = compiled(replace(job, cohort=tried), lanes, "for the largest cohort")
        trouble = refusal(program)
        if trouble is None:
            best, low = program, tried
        else:
            high = tried
        if low == most or (high is not None and high - low <= max(1, low // 16)):
            break
        if best is None and high == 1:
            raise PflError(f"memory: expected one client to fit on {target.name}, got {trouble}; use a smaller model")
        tried = min(2 * max(1, low), most) if high is None or 2 * max(1, low) < high else (low + high) // 2
    assert best is not None
    return Largest(name, target, low, lanes, most, best.device_bytes, len(made))


def wanted(words: Sequence[str]) -> tuple[RunConfig, Target, bool]:
    """(the run, its target, whether the largest cohort is asked for) of the command's words.

    Raises PflError for what is not understood; `--help` prints and raises SystemExit(0).
    """
    mine = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    mine.add_argument("--target")
    mine.add_argument("--largest", action="store_true")
    try:
        found, rest = mine.parse_known_args(list(words))
    except argparse.ArgumentError as error:
        raise PflError(f"--target: expected a machine behind it, e.g. v5e:2x4, got {error.message}") from None
    config = parse(rest, command="compile")
    if found.target is None:
        raise PflError(f"--target: expected one of {', '.join(NAMES)} and its size, e.g. v5e:2x4, got none; add it")
    return config, target(found.target), found.largest


def programs(config: RunConfig, target: Target) -> Iterator[tuple[str, Program]]:
    """(name, program) of each method of a run, compiled and weighed."""
    devices = mesh(target)  # before data is read: the compiler may be missing
    population = config.population.load()
    _, seeds = phase_seeds(config.seed)
    for algorithm in filter(None, algorithms(config, population)):
        program = prepare(
            algorithm, population, seed=seeds, width=config.engine.width, **_arguments(config, target, devices)
        )
        yield f"{population.about.name}, {algorithm.name}", program


def _arguments(config: RunConfig, target: Target, devices: Mesh) -> dict[str, Any]:
    """Those of `prepare` and of `make_job`."""
    found = how(config) | {"cohort": config.cohort, "unseen": config.unseen}
    del found["width"]
    return found | {"devices": devices, "memory": target.chip.memory}


def look(program: Program, name: str, target: Target) -> Ahead:
    """Reads a program that was compiled for `target`."""
    made, plan = estimate(program, name), program.plan(0, ROUNDS)
    turns, longest = busiest(plan)
    text = program.compiled.as_text()
    assert text is not None
    round = read_round(text, turns)
    lanes = plan.num_chunks[:ROUNDS].sum(axis=1).mean() * program.width
    operations = made.operations / made.num_devices
    most = made.operations * longest * program.width / made.lane_steps if made.lane_steps else operations
    is_half = any(
        equation.primitive.name in ("dot_general", "conv_general_dilated")
        and equation.invars[0].aval.dtype == jnp.bfloat16
        for equation in equations(program.traced.jaxpr)
    )
    chip = target.chip
    return Ahead(
        estimate=made,
        target=target,
        operations=operations,
        most_operations=most,
        is_half=is_half,
        round=round,
        empty=float(lanes - made.cohort),
        idle=float((plan.num_chunks[:ROUNDS] == 0).sum(axis=1).mean()),
        prediction=Prediction(
            most / (chip.bf16 if is_half else chip.float32),
            round.traffic / chip.bandwidth,
            sum(collective_seconds(target, each) for each in round.collectives),
        ),
    )


def busiest(plan: Plan) -> tuple[Turns, float]:
    """How often loops turn in a round on the device that has the most to do, and its steps one after another."""
    num = plan.num_rounds
    runs = np.arange(plan.steps.shape[2]) < plan.num_chunks[:num, :, None]
    steps = (plan.steps[:num].max(axis=-1) * runs).sum(axis=-1)  # [round, device]
    at = steps.argmax(axis=1)
    longest, chunks = steps.max(axis=1).mean(), plan.num_chunks[np.arange(num), at]
    groups = (-(-chunks // GROUP)).mean()
    return Turns(float(groups), float(chunks.mean() / groups), float(longest / chunks.mean())), float(longest)


def collective_seconds(target: Target, found: Collective) -> float:
    """How long collectives of one kind take in a round, on links that nothing else uses.

    Along each axis of a slice devices pass parts on to their neighbours, both ways where the ends meet, all axes at
    once with a part of the data each; between slices each device passes its own part on. An all-reduce is a
    reduce-scatter and an all-gather.
    """
    if target.num_devices == 1:
        return 0.0
    if found.kind in ("collective-permute", "collective-broadcast"):
        return found.num_bytes / target.chip.link + found.num * HOP
    here = target.num_devices // target.slices
    both_ways = sum(2 if is_ring else 1 for _, is_ring in target.rings) or 1
    hops = sum(size // 2 if is_ring else size - 1 for size, is_ring in target.rings)
    seconds = found.num_bytes * (here - 1) / here / (both_ways * target.chip.link) + found.num * hops * HOP
    if target.slices > 1:
        others = (target.slices - 1) / target.slices
        seconds += found.num_bytes / here * others / target.chip.network + found.num * (target.slices - 1) * HOP
    return seconds * (2 if found.kind == "all-reduce" else 1)


def _listed(collectives: tuple[Collective, ...]) -> str:
    if not collectives:
        return "nothing"
    one = lambda each: f"{each.num:,.3g} {each.kind} of {said(each.num_bytes)}"
    inside = sum(each.num_in_clients for each in collectives)
    where = f"{inside} of them inside the client loops" if inside else "none inside the client loops"
    return f"{', '.join(map(one, collectives))} a round; {where}"


def _time(seconds: float) -> str:
    """
    >>> _time(0.0123), _time(2.5e-6), _time(3.0)
    ('12.3 ms', '2.5 us', '3 s')
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"
