"""How a round grows with the cohort, the population, the devices and the model: log-log figure, fitted exponents.

    python benchmarks/scaling.py [--axes cohort population devices model] [--out DIR] [--repeats 3]
    python benchmarks/scaling.py --axes million      one million clients, cohort 10,000
    python benchmarks/scaling.py --axes kept         100,000 clients that keep a head of 8,010 parameters each (FedPer)
                                                     and 1,000,000 of 70, on the devices and on the host
    python benchmarks/scaling.py --axes weak         1 and 2 devices, 1 and 2 processes, the same work and one core
                                                     for each device
    python benchmarks/scaling.py --axes tiny         16 clients a round of one step each, 16-8-10, 100 rounds a block

Every case runs in a process of its own, so that its peak memory is its own. Prints and writes seconds a round
(median and spread over blocks after the first, each after `block_until_ready`), compile seconds and peak memory.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import jax
import matplotlib
import numpy as np
import optax

import pfljax as pfl
from pfljax.data.memory import empty

sys.path.append(str(Path(__file__).parents[1] / "scripts"))
from launch_local import cores, environment, free_port, on_cores

NUM_CLASSES, MEAN_ROWS, SIGMA = 10, 20, 1.0
CASE = {
    "cohort": 200, "population": 10_000, "devices": None, "features": 60, "hidden": (), "examples": "auto",
    "block": "auto", "sigma": SIGMA, "state": None, "processes": 1, "cores": None,
}  # fmt: skip
KEPT = ({"population": 100_000, "hidden": (800,)}, {"population": 1_000_000, "hidden": (6,)})
TINY = {"cohort": 16, "population": 1_024, "features": 16, "hidden": (8,), "block": 100, "sigma": 0.0}
WEAK = {"hidden": (200, 200), "sigma": 0.0}
AXES = {
    "cohort": [{"cohort": cohort} for cohort in (10, 30, 100, 300, 1_000, 3_000, 10_000)],
    "population": [{"population": clients} for clients in (1_000, 10_000, 100_000, 1_000_000)],
    "devices": [{"cohort": 400, "hidden": (200, 200), "devices": devices} for devices in (1, 2)],
    "model": [{"cohort": 100, "hidden": (size, size)} for size in (16, 64, 256, 1_024)],
    "weak": [
        WEAK | {"cohort": 200, "devices": 1, "cores": 1},
        WEAK | {"cohort": 400, "devices": 2, "cores": 2},
        WEAK | {"cohort": 400, "devices": 1, "processes": 2, "cores": 2},
    ],
    "million": [{"population": 1_000_000, "cohort": 10_000}],
    "kept": [kept | {"state": state} for kept in KEPT for state in ("device", "host")],
    "tiny": [TINY | {"devices": devices} for devices in (1, 2)],
}
LARGE = ("million", "kept", "weak")
LABELS = {"cohort": "clients a round", "population": "clients in all", "devices": "devices", "model": "hidden units"}


def population(num_clients: int, num_features: int, sigma: float, seed: int = 0) -> pfl.data.Population:
    """Clients of log-normal sizes, about 20 rows on average: a train row at least, one test row each."""
    generator = np.random.default_rng(seed)
    sizes = np.maximum(2, generator.lognormal(np.log(MEAN_ROWS) - sigma**2 / 2, sigma, num_clients)).astype(np.int64)
    x = empty((int(sizes.sum()), num_features), np.dtype(np.float32))
    generator.standard_normal(out=x, dtype=np.float32)
    return pfl.data.Population(
        {"x": x, "y": generator.integers(0, NUM_CLASSES, len(x), dtype=np.int32)},
        offsets=np.concatenate([[0], np.cumsum(sizes)]),
        bounds=np.stack([sizes - 1, sizes - 1], axis=1),
        ids=tuple(map(str, range(num_clients))),
        about=pfl.data.About("crowd", num_classes=NUM_CLASSES),
    )


def measure(case: dict) -> dict:
    """One case, in this process, or in this one of several."""
    pfl.use_cores(case["devices"])
    if case["processes"] > 1:
        pfl.use_processes()
    people = population(case["population"], case["features"], case["sigma"])
    make = pfl.algorithms.fedavg if case["state"] is None else pfl.algorithms.fedper
    algorithm = make(pfl.models.mlp(people, case["hidden"]), optax.sgd(0.1), epochs=1, batch=20)
    arguments = {name: case[name] for name in ("cohort", "examples", "block")} | {"state": case["state"] or "auto"}
    length, seconds, first = 1, [], None
    begin = time.perf_counter()
    for block in pfl.rounds(algorithm, people, rounds=10**6, unseen=0.0, **arguments):
        now = time.perf_counter()
        first = first or block
        if block.first_round:  # the first block still warms caches up
            seconds.append((now - begin) / block.num_rounds)  # planning and collecting included
            length = max(length, block.num_rounds)
        if len(seconds) >= 4 + case["repeats"]:
            break
        begin = time.perf_counter()
    timed = seconds[-case["repeats"] :]
    return case | {
        "seconds": statistics.median(timed),
        "low": min(timed),
        "high": max(timed),
        "rounds_a_block": length,
        "clients_per_second": case["cohort"] / statistics.median(timed),
        "compile_seconds": first.compile_seconds,
        "width": first.width,
        "num_devices": jax.device_count(),
        "rows": people.num_rows,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def in_a_process(case: dict) -> dict:
    """What process 0 measured."""
    command = [sys.executable, __file__, "--case", json.dumps(case)]
    num, started = case["processes"], []
    port = free_port()
    for index in range(num):
        own = environment(index, num, port, case["devices"]) if num > 1 else {}
        with on_cores(cores(index, num) if case["cores"] is None else few(case["cores"] // num, index)):
            started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | own))
    said = [process.communicate()[0] for process in started]
    for process in started:
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
    return json.loads(said[0].splitlines()[-1])


def few(num_cores: int, index: int) -> set[int]:
    """The index-th so many cores."""
    return set(sorted(os.sched_getaffinity(0))[index * num_cores : (index + 1) * num_cores])


def size(axis: str, case: dict) -> float:
    if axis == "model":
        return case["hidden"][0]
    names = {
        "devices": "num_devices", "tiny": "num_devices", "weak": "num_devices",
        "million": "population", "kept": "population",
    }  # fmt: skip
    return case[names.get(axis, axis)]


def exponent(sizes: list[float], seconds: list[float]) -> float:
    """b of seconds = a * size^b, by least squares in logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def draw(found: dict[str, list[dict]], path: Path) -> None:
    matplotlib.use("agg")
    from matplotlib import pyplot

    shown = [axis for axis in found if axis in LABELS]
    figure, panels = pyplot.subplots(
        1, len(shown), figsize=(3.6 * len(shown), 3.4), layout="constrained", squeeze=False
    )
    for panel, axis in zip(panels[0], shown, strict=True):
        sizes, seconds = [size(axis, case) for case in found[axis]], [case["seconds"] for case in found[axis]]
        low, high = [case["low"] for case in found[axis]], [case["high"] for case in found[axis]]
        spread = [np.subtract(seconds, low), np.subtract(high, seconds)]
        panel.errorbar(sizes, seconds, spread, marker="o", capsize=3, color="#0072B2")
        panel.set(xscale="log", yscale="log", xlabel=LABELS[axis])
        panel.set_title(f"exponent {exponent(sizes, seconds):.2f}", fontsize=10)
        panel.grid(True, which="major", alpha=0.3)
    panels[0][0].set_ylabel("seconds a round")
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--axes", nargs="+", choices=list(AXES), default=[axis for axis in AXES if axis not in LARGE])
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--smallest", type=int, default=None, help="only so many cases of each axis")
    parser.add_argument("--case", default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(measure(json.loads(options.case))))
        return
    cores = len(os.sched_getaffinity(0))
    print(f"jax {jax.__version__}, Python {platform.python_version()}, {platform.machine()}, {cores} cores")
    head = f"{'axis':<11}{'size':>10}{'ms a round':>12}{'low':>10}{'high':>10}{'clients/s':>11}{'width':>6}"
    print(f"{head}{'devices':>8}{'compile s':>10}{'peak GiB':>9}")
    found: dict[str, list[dict]] = {}
    for axis in options.axes:
        found[axis] = []
        for change in AXES[axis][: options.smallest]:
            case = in_a_process(CASE | {"repeats": options.repeats} | change)
            found[axis].append(case)
            print(
                f"{axis:<11}{size(axis, case):>10,}{1e3 * case['seconds']:>12.2f}{1e3 * case['low']:>10.2f}"
                f"{1e3 * case['high']:>10.2f}{case['clients_per_second']:>11,.0f}{case['width']:>6}"
                f"{case['num_devices']:>8}{case['compile_seconds']:>10.1f}{case['peak_gib']:>9.2f}",
                flush=True,
            )
        if axis == "weak":
            alone, *others = found[axis]
            for case in others:
                gain = case["clients_per_second"] / alone["clients_per_second"]
                print(f"weak: {case['num_devices']} devices in {case['processes']} processes: {gain:.2f}x one device")
        if axis in LABELS and len(found[axis]) > 1:
            sizes, seconds = [size(axis, case) for case in found[axis]], [case["seconds"] for case in found[axis]]
            print(f"{axis}: seconds a round grow as size^{exponent(sizes, seconds):.2f}")
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "scaling.json").write_text(json.dumps(found, indent=1) + "\n")
        if any(axis in LABELS and len(cases) > 1 for axis, cases in found.items()):
            draw(found, options.out / "scaling.png")


if __name__ == "__main__":
    main()
