"""What saving costs: whole runs with and without checkpoints, in turn.

    python benchmarks/checkpoints.py [--seconds 60] [--every 60] [--repeats 5] [--work fedavg ditto]

The work is that of `pfljax run keyboard`: 664 clients, 32 a round, 20 steps. FedAvg keeps nothing for clients, Ditto a
model for each. Seconds are those of `pfl.simulate` as a whole, opening the folder and the last save included; compiled
programs come from a cache, and orbax is imported before.
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import optax
import orbax.checkpoint

import pfljax as pfl

MEASURING_ROUNDS = 20  # that say how many make a run of the length that was asked for


def works(population: pfl.data.Population) -> dict:
    model = pfl.models.char_lm(population)
    work = {"steps": 20, "batch": 64}
    return {
        "fedavg": pfl.algorithms.fedavg(model, optax.sgd(1.0), **work),
        "ditto": pfl.algorithms.ditto(model, optax.sgd(1.0), personal_opt=optax.sgd(0.3), lam=0.1, **work),
    }


class Taken(NamedTuple):
    """What a run took. cpu: seconds of all threads, which other processes lengthen less; num_bytes: on disk"""

    wall: float
    cpu: float
    num_bytes: int


def taken(algorithm, population, rounds: int, every: float | None) -> Taken:
    """A whole run. every: seconds between saves, None for a run that is not saved."""
    with tempfile.TemporaryDirectory(prefix="pfljax-checkpoints-") as folder:
        checkpoints = None if every is None else pfl.Checkpoints(folder, every=every, keep=1)
        begin, cpu = time.perf_counter(), time.process_time()
        result = pfl.simulate(algorithm, population, cohort=32, rounds=rounds, checkpoints=checkpoints)
        jax.block_until_ready(result.server)
        num_bytes = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
        return Taken(time.perf_counter() - begin, time.process_time() - cpu, num_bytes)


def compared(algorithm, population, options) -> Iterator[str]:
    """Lines about one algorithm."""
    taken(algorithm, population, 1, 0)  # compiles, and saves for the first time
    short = taken(algorithm, population, MEASURING_ROUNDS, None).wall
    long = taken(algorithm, population, 2 * MEASURING_ROUNDS, None).wall
    rounds = max(1, round(options.seconds * MEASURING_ROUNDS / (long - short)))
    without, saved = [], []
    for repeat in range(options.repeats):
        for is_saved in ((False, True), (True, False))[repeat % 2]:
            found = taken(algorithm, population, rounds, options.every if is_saved else None)
            (saved if is_saved else without).append(found)
    size = max(each.num_bytes for each in saved)
    yield f"{algorithm.name}: {rounds} rounds; {size / 1e6:.1f} MB, every {options.every:g} s and at the end"
    for name in ("wall", "cpu"):
        one, other = ([getattr(each, name) for each in made] for made in (saved, without))
        ratios = [with_saves / alone - 1 for with_saves, alone in zip(one, other, strict=True)]
        spread = lambda values: f"{statistics.median(values):.2f} s ({min(values):.2f} to {max(values):.2f})"
        yield (
            f"  {name:<4} {spread(other)} not saved, {spread(one)} saved: {statistics.median(ratios):+.1%} "
            f"({min(ratios):+.1%} to {max(ratios):+.1%}), of pairs in turn"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--every", type=float, default=60.0)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--work", nargs="+", choices=("fedavg", "ditto"), default=("fedavg", "ditto"))
    options = parser.parse_args()
    pfl.use_cores()
    population = pfl.data.load("keyboard")
    print(f"jax {jax.__version__}, orbax {orbax.checkpoint.__version__}, Python {platform.python_version()}")
    print(f"{platform.machine()}, {len(jax.devices())} {jax.devices()[0].platform} devices on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory(prefix="pfljax-programs-") as programs:
        jax.config.update("jax_compilation_cache_dir", programs)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        for name in options.work:
            for line in compared(works(population)[name], population, options):
                print(line, flush=True)


if __name__ == "__main__":
    main()
