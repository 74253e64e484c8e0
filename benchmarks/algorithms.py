"""Every algorithm's round beside the gradients in it: what the method itself costs, in time and in bytes.

    python benchmarks/algorithms.py [--names fedavg scaffold ...] [--model cnn] [--epochs 1] [--cohort 128]
                                    [--repeats 5] [--width 64] [--out DIR]

An MLP 784-200-200-62, or a CNN of two convolutions (32 and 64 channels), a pool and 128 units, on 100 uint8 images of
28x28 a client, batches of 20. "bare" is the time of one gradient of a batch and its step: the difference between FedAvg
of four epochs and of one, divided by the steps between them; for methods that step on all rows (AFL, L2GD) it is that
of all rows. A round's ratio is its time over (gradient evaluations a round / devices) * bare; gradient evaluations are
`cost`, in batches, in which a forward pass counts a third. Times are those of the fastest of --repeats blocks, and bare
is taken anew beside each method: what else a machine does, or how warm it is, moves both alike. --width: clients side
by side, instead of the one that is chosen (which GPUs and TPUs measure for each method: minutes). Bytes are those of
one client and one round, kept ones between rounds.
"""

import argparse
import json
import platform
from pathlib import Path

import jax
from round_time import population

import pfljax as pfl
from pfljax.engine.memory import said
from pfljax.engine.traffic import traffic
from pfljax.errors import PflError
from pfljax.run.catalog import made

CLIENTS, ROWS, BATCH = 200, 100, 20
MODELS = {"mlp": lambda people: pfl.models.mlp(people, (200, 200)), "cnn": pfl.models.cnn}
ROUNDS = {"mlp": 4, "cnn": 1}  # a block
OTHER = {"afl": {}, "l2gd": {}}  # they take one step on all rows, whatever the others take
HEAD = """\
| algorithm | gradients a round | us a gradient | ms a round | ratio | compile s | down | up | kept |
|---|---:|---:|---:|---:|---:|---:|---:|---:|"""


def timed(algorithm, people, options: argparse.Namespace) -> tuple[list[float], float]:
    """(seconds a round of each block after the first, seconds of compilation)."""
    length = ROUNDS[options.model]
    arguments = {"cohort": options.cohort, "block": length, "unseen": 0.0, "width": options.width}
    num_rounds = length * (options.repeats + 1)
    blocks = pfl.rounds(algorithm, people, rounds=num_rounds, on_nonfinite="drop", **arguments)  # labels are random
    first, *rest = blocks
    return [block.seconds / length for block in rest], first.compile_seconds


def bare(pair: tuple, steps: float, people, options: argparse.Namespace) -> float:
    """Seconds of a gradient and its step. pair: a method and the same with so many steps more on one device."""
    less, more = (min(timed(algorithm, people, options)[0]) for algorithm in pair)
    return (more - less) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", nargs="+", choices=pfl.algorithms.__all__, default=pfl.algorithms.__all__)
    parser.add_argument("--model", choices=list(MODELS), default="mlp")
    parser.add_argument("--epochs", type=int, default=1, help="of local work")
    parser.add_argument("--cohort", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--width", type=lambda word: word if word == "auto" else int(word), default="auto")
    parser.add_argument("--out", type=Path, help="where to write results.json and results.md")
    options = parser.parse_args()
    people = population(CLIENTS, shape=(28, 28))
    model = MODELS[options.model](people)
    num_devices = jax.device_count()
    print(f"jax {jax.__version__}, Python {platform.python_version()}, {num_devices} {jax.default_backend()} devices")

    epochs = lambda num: pfl.algorithms.fedavg(model, epochs=num, batch=BATCH)
    full = lambda num: pfl.algorithms.fedavg(model, steps=num, batch=None)
    pairs = {False: (epochs(1), epochs(4)), True: (full(1), full(4))}
    steps = {False: 3 * options.cohort * -(-ROWS // BATCH) / num_devices, True: 3 * options.cohort / num_devices}
    print(HEAD)

    rows = []
    for name in options.names:
        try:
            algorithm = made(name, model, **OTHER.get(name, {"epochs": options.epochs, "batch": BATCH}))
            moves = traffic(algorithm, people)
        except PflError as error:
            print(f"| {name} | {error} |")
            rows.append({"name": name, "refused": str(error)})
            continue
        on_all = name in OTHER
        gradient = bare(pairs[on_all], steps[on_all], people, options)
        seconds, compiling = timed(algorithm, people, options)
        gradients = float(algorithm.cost(people.sizes("train"))[: options.cohort].sum())
        row = {
            "name": name,
            "gradients": gradients,
            "bare_us": 1e6 * gradient,
            "ms": 1e3 * min(seconds),
            "spread_ms": [1e3 * min(seconds), 1e3 * max(seconds)],
            "ratio": min(seconds) / (gradients / num_devices * gradient),
            "compile_seconds": compiling,
            "download": moves.download,
            "upload": moves.upload,
            "kept": moves.kept,
        }
        rows.append(row)
        print(line(row), flush=True)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        facts = {
            "jax": jax.__version__,
            "devices": num_devices,
            "model": options.model,
            "epochs": options.epochs,
            "cohort": options.cohort,
            "width": options.width,
        }
        (options.out / "results.json").write_text(json.dumps(facts | {"algorithms": rows}, indent=1) + "\n")
        shown = [line(row) for row in rows if "ms" in row]
        (options.out / "results.md").write_text("\n".join([HEAD, *shown]) + "\n")


def line(row: dict) -> str:
    sizes = " | ".join(said(row[name]) for name in ("download", "upload", "kept"))
    return (
        f"| {row['name']} | {row['gradients']:,.0f} | {row['bare_us']:.0f} | {row['ms']:.1f} | {row['ratio']:.2f} "
        f"| {row['compile_seconds']:.1f} | {sizes} |"
    )


if __name__ == "__main__":
    pfl.use_cores()
    main()
