"""A run's rounds compiled for a machine that is not here: whether they fit, what they cost, how long they would take.

Times are predictions from data sheets, and floors: nothing here says how well a device keeps its units busy.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from pfljax.engine import Program, prepare
from pfljax.engine.memory import said
from pfljax.engine.round import GROUP
from pfljax.errors import PflError
from pfljax.gate.operations import equations
from pfljax.plan import Plan
from pfljax.run.config import RunConfig
from pfljax.run.estimate import ROUNDS, Estimate, estimate
from pfljax.run.hlo import Collective, Round, Turns, read_round
from pfljax.run.job import algorithms, how, phase_seeds
from pfljax.run.options import parse
from pfljax.run.predict import Prediction, predict
from pfljax.run.targets import NAMES, Target, mesh, target


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
            f"arithmetic at {chip.peak(self.is_half) / 1e12:,.0f} TFLOP/s beside {_time(spent.traffic)} of memory "
            f"traffic at {chip.bandwidth / 1e9:,.0f} GB/s, then {_time(spent.collectives)} of collectives; where each "
            f"instruction takes a microsecond, {_time(self.round.instructions * 1e-6)}",
        ]
        if self.empty or self.idle:
            lanes = made.cohort + self.empty
            lines.insert(
                1,
                f"  padded       {self.empty:,.3g} of {lanes:,.3g} lanes stay empty in a round; {self.idle:,.3g} of "
                f"{made.num_devices} devices have no client",
            )
        return "\n".join(lines)


def ahead(config: RunConfig, target: Target) -> Iterator[Ahead]:
    """Compiles what each method of a run would run on `target`, one after another.

    Raises PflError, with the numbers, for what does not fit, and where the compiler is not installed.
    """
    for name, program in programs(config, target):
        yield look(program, name, target)


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
        found = arguments(config, target, devices) | {"seed": seeds, "width": config.engine.width}
        program = prepare(algorithm, population, **found)
        yield f"{population.about.name}, {algorithm.name}", program


def arguments(config: RunConfig, target: Target, devices: Mesh) -> dict[str, Any]:
    """Those that `prepare` and `make_job` share, for a run on a described mesh."""
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
    return Ahead(
        estimate=made,
        target=target,
        operations=operations,
        most_operations=most,
        is_half=is_half,
        round=round,
        empty=float(lanes - made.cohort),
        idle=float((plan.num_chunks[:ROUNDS] == 0).sum(axis=1).mean()),
        prediction=predict(target, most, is_half, round),
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
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
