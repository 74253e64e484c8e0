"""One round of 4,096 of 16,384 clients compiled for 1, 8, 64 and 256 chips of TPU v5e, on any machine that has libtpu.

    pip install -e '.[tpu-aot]'
    python benchmarks/ahead.py [--chips 1 8 64 256] [--cohort 4096] [--out docs/figures/scaling_ahead.png]

Per chip: operations, collectives and their bytes, memory, traffic, instructions, compile seconds, and the round time
that follows from the data sheet. Nothing is run. Clients are alike, so that what is left is the machine's doing.
"""

import argparse
import platform
import time
from importlib.metadata import version
from pathlib import Path

import jax
import matplotlib
import numpy as np
import optax

import pfljax as pfl
from pfljax.engine import prepare
from pfljax.run.ahead import Ahead, look
from pfljax.run.targets import mesh, target

TARGETS = {1: "v5e:1x1", 8: "v5e:2x4", 64: "v5e:8x8", 256: "v5e:16x16"}
ROWS, TRAIN, WIDTH = 64, 48, 16
SHARE = 4  # clients for each that takes part in a round
COLOURS = ("#0072B2", "#D55E00", "#009E73")
CASES = {
    "language model, per_fedavg": ("keyboard", lambda people: pfl.algorithms.per_fedavg(
        pfl.models.char_lm(people), optax.sgd(0.5), inner_lr=0.3, inner_steps=3, steps=8, batch=32)),
    "CNN, fedavg": ("digits", lambda people: pfl.algorithms.fedavg(
        pfl.models.cnn(people), optax.sgd(0.1), steps=8, batch=16)),
    "language model, ditto": ("keyboard", lambda people: pfl.algorithms.ditto(
        pfl.models.char_lm(people), optax.sgd(0.5), lam=0.1, steps=8, batch=32)),
}  # fmt: skip


def crowd(name: str, num_clients: int) -> pfl.data.Population:
    """As many clients of 64 rows as asked for, in the shapes of an embedded population; all numbers are zero."""
    like = pfl.data.load(name)
    arrays = {key: np.zeros((num_clients * ROWS, *each.shape[1:]), each.dtype) for key, each in like.arrays.items()}
    return pfl.data.Population(
        arrays,
        offsets=np.arange(num_clients + 1) * ROWS,
        bounds=np.tile([TRAIN, (TRAIN + ROWS) // 2], (num_clients, 1)),
        ids=tuple(map(str, range(num_clients))),
        about=like.about,
    )


def compiled(name: str, cohort: int, machine: str) -> Ahead:
    """One case's round on one target, of a quarter of all clients: the others' state stays where it is."""
    of, make = CASES[name]
    people, on = crowd(of, SHARE * cohort), target(machine)
    where = {"devices": mesh(on), "memory": on.chip.memory}
    return look(prepare(make(people), people, cohort=cohort, unseen=0.0, width=WIDTH, **where), name, on)


def row(found: Ahead) -> str:
    kinds = ", ".join(f"{each.num:.0f} {each.kind}" for each in found.round.collectives) or "none"
    num_bytes = sum(each.num_bytes for each in found.round.collectives)
    made, spent = found.estimate, found.prediction
    return (
        f"| {made.name} | {made.num_devices} | {found.operations / 1e9:,.2f} | {kinds} | {num_bytes / 2**20:,.2f} "
        f"| {made.total / 2**20:,.0f} | {found.round.traffic / 2**20:,.0f} | {found.round.instructions:,.0f} "
        f"| {made.compile_seconds:.1f} | {1e3 * spent.seconds:,.3f} | {1e3 * found.round.instructions * 1e-6:,.1f} |"
    )


def draw(found: dict[str, list[Ahead]], path: Path) -> None:
    matplotlib.use("agg")
    from matplotlib import pyplot

    of_bytes = lambda each: sum(one.num_bytes for one in each.round.collectives) / 2**20
    panels = (
        ("GFLOP of a chip in a round", lambda each: each.operations / 1e9),
        ("MiB of collectives of a chip in a round", of_bytes),
        ("MiB of memory of a chip", lambda each: each.estimate.total / 2**20),
        ("predicted ms a round, at least", lambda each: 1e3 * each.prediction.seconds),
    )
    figure, axes = pyplot.subplots(1, 4, figsize=(14, 3.6), layout="constrained")
    for axis, (title, value) in zip(axes, panels, strict=True):
        for (name, series), colour, marker in zip(found.items(), COLOURS, "os^", strict=True):
            points = [(each.estimate.num_devices, value(each)) for each in series if value(each) > 0]
            axis.plot(*zip(*points, strict=True), marker=marker, color=colour, label=name)
        axis.set(xscale="log", yscale="log", xlabel="chips", title=title)
        axis.title.set_fontsize(10)
        chips = [each.estimate.num_devices for each in next(iter(found.values()))]
        axis.set_xticks(chips, [str(num) for num in chips])
        axis.set_xticks([], minor=True)
        axis.grid(True, which="major", alpha=0.3)
    axes[0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chips", type=int, nargs="+", choices=list(TARGETS), default=list(TARGETS))
    parser.add_argument("--cohort", type=int, default=4096)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--out", type=Path, default=None, help="a PNG")
    options = parser.parse_args()
    jax.config.update("jax_platforms", "cpu")
    print(
        f"jax {jax.__version__}, libtpu {version('libtpu')}, Python {platform.python_version()}, {platform.machine()}"
    )
    head = "round of | chips | GFLOP | collectives | their MiB | memory MiB | traffic MiB | instructions | compile s"
    print(f"\n| {head} | floor ms | ms at 1 us |\n|---|---:|---:|---|---:|---:|---:|---:|---:|---:|---:|")
    begin, found = time.perf_counter(), {}
    for name in options.cases:
        found[name] = []
        for num in options.chips:
            found[name].append(compiled(name, options.cohort, TARGETS[num]))
            print(row(found[name][-1]), flush=True)
    print(f"\n{time.perf_counter() - begin:.0f} s in all")
    if options.out and options.cases == list(CASES):
        draw(found, options.out)


if __name__ == "__main__":
    main()
