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


def seconds(algorithm, population, rounds: int, every: float | None) -> tuple[float, int]:
    """(what a run took, its bytes on disk); every: seconds between saves, None for a run that is not saved."""
    with tempfile.TemporaryDirectory(prefix="pfljax-checkpoints-") as folder:
        checkpoints = None if every is None else pfl.Checkpoints(folder, every=every, keep=1)
        begin = time.perf_counter()
        result = pfl.simulate(algorithm, population, cohort=32, rounds=rounds, checkpoints=checkpoints)
        jax.block_until_ready(result.server)
        taken = time.perf_counter() - begin
        return taken, sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def compared(algorithm, population, options) -> Iterator[str]:
    """Lines about one algorithm."""
    seconds(algorithm, population, 1, 0)  # compiles, and saves for the first time
    short = seconds(algorithm, population, MEASURING_ROUNDS, None)[0]
    long = seconds(algorithm, population, 2 * MEASURING_ROUNDS, None)[0]
    fixed, each = 2 * short - long, (long - short) / MEASURING_ROUNDS
    rounds = max(1, round((options.seconds - fixed) / each))
    without, saved, size = [], [], 0
    for repeat in range(options.repeats):
        for is_saved in ((False, True), (True, False))[repeat % 2]:
            taken, num_bytes = seconds(algorithm, population, rounds, options.every if is_saved else None)
            (saved if is_saved else without).append(taken)
            size = max(size, num_bytes)
    ratios = [one / other - 1 for one, other in zip(saved, without, strict=True)]
    spread = lambda values: f"{statistics.median(values):.2f} s ({min(values):.2f} to {max(values):.2f})"
    yield f"{algorithm.name}: {rounds} rounds, {size / 1e6:.1f} MB a checkpoint"
    yield f"  not saved {spread(without)}"
    yield f"  saved     {spread(saved)}, every {options.every:g} s and at the end"
    yield f"  saving    {statistics.median(ratios):+.1%} ({min(ratios):+.1%} to {max(ratios):+.1%}), of pairs in turn"


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
