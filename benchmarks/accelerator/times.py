"""How fast rounds are on an accelerator, and what they take of its memory."""

import statistics
import time
from collections.abc import Generator
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import optax
import round_time
import scaling
from peers import catalog
from peers.contestants import bare
from peers.contestants import pfljax_parts as parts
from peers.work import Work, schedule

import pfljax as pfl
from accelerator.report import Machine, Row
from pfljax.engine.memory import said
from pfljax.engine.ready import prepare
from pfljax.types import Algorithm


def timed(machine: Machine, algorithm: Algorithm, people, **arguments) -> dict[str, Any]:
    """Clients a second: the median of the last three blocks, which are the longest, and their extremes."""
    begin, first, rates = time.perf_counter(), None, []
    for block in pfl.rounds(algorithm, people, rounds=10**6, unseen=0.0, **arguments):
        if first is None:
            first, begin = block, time.perf_counter()
        rates.append(block.rows.size / block.seconds)
        spent = time.perf_counter() - begin
        if (len(rates) > 3 and spent > machine.seconds) or spent > 5 * machine.seconds:
            break
    rates = rates[-3:]
    assert first is not None
    stats = jax.devices()[0].memory_stats() or {}
    return {
        "clients_per_second": statistics.median(rates), "low": min(rates), "high": max(rates),
        "ms": 1e3 * arguments["cohort"] / statistics.median(rates),
        "width": first.width, "why": first.why, "compile_seconds": first.compile_seconds,
        "peak_bytes": stats.get("peak_bytes_in_use", 0),
    }  # fmt: skip


def shown(facts: dict[str, Any]) -> str:
    rates = f"{facts['clients_per_second']:>10,.0f} clients/s ({facts['low']:,.0f} to {facts['high']:,.0f})"
    return f"{rates}, {facts['ms']:.2f} ms a round, ready in {facts['compile_seconds']:.1f} s"


def widths(most: int) -> list[int]:
    """1, 4, 16, ... and `most`."""
    return sorted({4**power for power in range(6) if 4**power < most} | {most})


def work(machine: Machine, name: str) -> Generator[Row]:
    """A work of benchmarks/peers at each width, then the bare loop of its gradients at the best."""
    made = catalog.make(name, is_tiny=machine.is_tiny)
    cohort = 5 if machine.is_tiny else min(512, len(made.sizes))
    made = replace(made, schedule=schedule(len(made.sizes), cohort, 200, made.seed))
    people = parts.population(made)
    model = parts.model(made, people)
    make = partial(pfl.algorithms.fedavg, client_opt=optax.sgd(made.lr), epochs=1, batch=made.batch)
    algorithm, best = make(model), {"clients_per_second": 0.0, "width": 1}
    arguments = {"cohort": cohort, "seed": made.seed}
    for width in widths(cohort):
        before = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0)
        facts = timed(machine, algorithm, people, width=width, **arguments)
        facts |= {
            "work": name,
            "foreseen_bytes": prepare(algorithm, people, unseen=0.0, width=width, **arguments).device_bytes,
        }
        peak = f", peak {said(facts['peak_bytes'])}" if facts["peak_bytes"] > before else ""  # else an earlier one's
        memory = f"; {said(facts['foreseen_bytes'])} foreseen{peak}"
        yield Row(f"{name}, {cohort} a round, width {width}", shown(facts) + memory, None, facts)
        best = max(best, facts, key=lambda each: each["clients_per_second"])
    yield beside_bare(machine, made, best)
    if name != "lr":  # too small for half of anything to be faster
        facts = timed(machine, make(pfl.models.bfloat16(model)), people, width=best["width"], **arguments)
        yield Row(f"{name}, bfloat16, width {best['width']}", shown(facts), None, facts)


def beside_bare(machine: Machine, made: Work, best: dict[str, Any]) -> Row:
    """The bare loop at the width that was the fastest, for about as long."""
    width, cohort = best["width"], made.schedule.shape[1]
    runner = bare.prepare(made, len(jax.devices()), width)
    runner.run(0, 1)
    num = int(machine.seconds * best["clients_per_second"] / cohort)
    count = max(1, min(num, bare._room(made)[1], len(made.schedule) - 1))
    rates = sorted(count * cohort / runner.run(1, count)[1] for _ in range(3))
    share = best["clients_per_second"] / rates[1]
    found = f"{rates[1]:>10,.0f} clients/s ({rates[0]:,.0f} to {rates[2]:,.0f}); pfljax has {share:.2f} of it"
    return Row(f"{made.name}, bare, width {width}", found, None, {"clients_per_second": rates[1], "share": share})


def cohorts(machine: Machine) -> Generator[Row]:
    """The MLP by cohort, all of it side by side up to 256 clients."""
    sizes = (2, 4) if machine.is_tiny else (16, 64, 256, 1024, 4096)
    people = round_time.population(sizes[-1])
    model = pfl.models.mlp(people, (8,) if machine.is_tiny else (200, 200))
    for cohort in sizes:
        facts = timed(machine, pfl.algorithms.fedavg(model, optax.sgd(0.1), epochs=1, batch=20), people,
                      cohort=cohort, width=min(256, cohort))  # fmt: skip
        yield Row(f"mlp, {cohort} a round", shown(facts), None, facts | {"cohort": cohort})


def kept(machine: Machine) -> Generator[Row]:
    """A million clients that keep a head of 70 parameters, on the device and on the host."""
    clients, cohort = (200, 8) if machine.is_tiny else (1_000_000, 1_000)
    people = scaling.population(clients, 16, scaling.SIGMA)
    algorithm = pfl.algorithms.fedper(pfl.models.mlp(people, (6,)), optax.sgd(0.1), epochs=1, batch=20)
    for state in ("device", "host"):
        facts = timed(machine, algorithm, people, cohort=cohort, width=min(cohort, 512), state=state)
        yield Row(f"{clients:,} clients, {cohort} a round, state on the {state}", shown(facts), None, facts)


def automatic(machine: Machine) -> Generator[Row]:
    """What width='auto' decides on this device, and how long it takes to."""
    people = round_time.population(16 if machine.is_tiny else 512)
    algorithm = pfl.algorithms.fedavg(pfl.models.mlp(people, (200, 200)), optax.sgd(0.1), epochs=1, batch=20)
    facts = timed(machine, algorithm, people, cohort=people.num_clients)
    yield Row(f"mlp, width {facts['width']} by itself", f"{shown(facts)}; {facts['why']}", None, facts)
