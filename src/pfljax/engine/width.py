"""How many clients a device trains side by side: the caller's number, a rule for CPUs, a measurement elsewhere."""

import hashlib
import json
import logging
import os
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Literal

import jax
import numpy as np

from pfljax import cache, processes
from pfljax.engine.job import Job
from pfljax.engine.memory import free_bytes, said
from pfljax.engine.program import Program
from pfljax.errors import PflError

Width = int | Literal["auto", "measure"]
Make = Callable[[int, str], Program]  # (width, why) -> program

SMALL_MODEL = 5_000  # parameters; below, a CPU spends its time between operations, not in them
SMALL_WIDTH = 8
MOST = 512  # lanes; ordered sums hold no more
GAIN = 0.95  # a wider chunk must take less than this share of the time
REPEATS = 3

log = logging.getLogger("pfljax")


def fit(make: Make, job: Job, width: Width) -> Program:
    """The program at a width that suits the devices and fits into their memory.

    Raises PflError, with the numbers, if not even one client at a time fits.
    """
    most = min(MOST, -(-job.num_lanes // job.mesh.size))
    if not isinstance(width, str):
        widest = min(width, job.num_lanes, MOST)
        return fitting(make, widest, "as asked" if widest == width else f"{width} asked, no more clients or lanes")
    if width == "auto" and job.mesh.devices.flat[0].platform == "cpu":
        return fitting(make, *_rule(job, most))
    if job.memory is not None:
        return fitting(make, most, "as many as fit; nothing can be measured here")
    return _measured(make, job, most)


def fitting(make: Make, width: int, why: str) -> Program:
    """The widest program of `width` lanes, or half as many, and so on, that the devices take; warns if narrower."""
    asked, troubles = width, []
    while True:
        program = make(width, why)
        trouble = refusal(program)
        if trouble is None:
            if troubles:
                say_narrower(asked, troubles[0], width)
            return program
        troubles.append(trouble)
        if width == 1:
            raise PflError(
                f"memory: expected one client at a time to fit, got {trouble}; use a smaller model or batch, fewer "
                "clients, examples='streamed' or state='host'"
            )
        width, why = width // 2, f"{asked} does not fit into memory"


def say_narrower(asked: int, trouble: str, width: int) -> None:
    warnings.warn(f"width: {asked} does not fit ({trouble}); using {width}", stacklevel=3)


def refusal(program: Program, held: int = 0) -> str | None:
    """Why the devices cannot run a program, or None. Compiles it. held: bytes in use that it takes the place of"""
    try:
        needed = program.device_bytes
    except jax.errors.JaxRuntimeError as error:
        if not is_exhausted(error):
            raise
        return " ".join(str(error).split())[:200]
    free = free_bytes(program.job.mesh, program.job.memory) + held
    return None if needed <= free else f"{said(needed)} needed on each device, {said(free)} free"


def is_exhausted(error: Exception) -> bool:
    """Whether a device ran out of memory."""
    return "RESOURCE_EXHAUSTED" in str(error)


def _rule(job: Job, most: int) -> tuple[int, str]:
    """(width, why) on CPUs."""
    num_params = sum(leaf.size for leaf in jax.tree.leaves(_params(job)))
    if num_params <= SMALL_MODEL:
        width = min(SMALL_WIDTH, most)
        return width, f"a CPU trains {width} models of {num_params} parameters faster as one"
    return 1, f"a CPU trains one model of {num_params} parameters faster than several side by side"


def _params(job: Job):
    return jax.eval_shape(job.algorithm.model.init, jax.random.key(0)).params


def _measured(make: Make, job: Job, most: int) -> Program:
    """The width that took the least time a client on these devices, remembered for the next time."""
    name = _fingerprint(job)
    known = int(processes.agreed(_remembered().get(name, 0)))  # 0: not yet
    if known:
        return fitting(make, min(known, most), "measured here before")
    seconds: dict[int, float] = {}
    width = 1
    while width <= most:
        program = make(width, "measured")
        trouble = refusal(program)
        if trouble is None:
            try:
                seconds[width] = processes.agreed(_seconds_a_client(program))
            except jax.errors.JaxRuntimeError as error:
                if not is_exhausted(error):
                    raise
                trouble = "out of memory"
        if trouble is not None:
            log.info("width %d: %s", width, trouble)
            break
        log.info("width %d: %.3g ms a client", width, 1e3 * seconds[width])
        if width >= 4 and min(seconds[width], seconds[width // 2]) > GAIN * seconds[width // 4]:
            break  # two doublings that gained nothing
        width *= 2
    if not seconds:
        return fitting(make, 1, "nothing else fits")
    best = min(seconds, key=lambda width: seconds[width])
    _remember(name, best)
    found = ", ".join(f"{width}: {1e3 * taken:.3g}" for width, taken in seconds.items())
    return fitting(make, best, f"measured in ms a client, by width: {found}")


def _seconds_a_client(program: Program) -> float:
    """The median time of a round after the first, divided by its clients."""
    plan, carry = program.plan(0, 1), program.begin()
    placed = program.place() or program.gather(plan)
    taken = []
    for _ in range(REPEATS + 1):
        begin = time.perf_counter()
        carry, _, _ = jax.block_until_ready(program.run(carry, placed, plan))
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken[1:]) / program.job.num_lanes


def _fingerprint(job: Job) -> str:
    """What a measured width depends on: method, model, rows, devices, versions."""
    shapes = lambda tree: [(str(leaf.dtype), leaf.shape) for leaf in jax.tree.leaves(tree)]
    device = job.mesh.devices.flat[0]
    work = (int(np.median(job.steps)), int(np.median(job.cost)), job.upload is not None, len(job.runs))
    rows = {name: (str(array.dtype), array.shape[1:]) for name, array in sorted(job.population.arrays.items())}
    facts = (
        (job.algorithm.name, shapes(_params(job)), rows, work, job.num_lanes, job.reduction, job.examples),
        (device.platform, device.device_kind, job.mesh.size, jax.__version__),
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:32]


def _file():
    return cache.folder() / "widths.json"


def _remembered() -> dict[str, int]:
    try:
        text = _file().read_text()
    except OSError:
        return {}  # nothing has been measured here yet
    try:
        known = json.loads(text)
        return {str(name): int(width) for name, width in known.items() if int(width) >= 1}
    except (ValueError, AttributeError, TypeError) as error:
        warnings.warn(f"{_file()}: expected measured widths, got {error}; measuring again", stacklevel=2)
        return {}


def _remember(name: str, width: int) -> None:
    file = _file()
    part = file.with_suffix(f".{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(_remembered() | {name: width}, indent=1) + "\n")
        os.replace(part, file)
    except OSError as error:
        warnings.warn(
            f"{file}: expected to write measured widths, got {error}; measuring again next time", stacklevel=2
        )
