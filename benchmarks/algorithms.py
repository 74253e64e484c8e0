"""Every algorithm's round beside the gradients in it: what the method itself costs, in time and in bytes.

    python benchmarks/algorithms.py [--names fedavg scaffold ...] [--model cnn] [--epochs 1] [--cohort 128]
                                    [--repeats 5] [--width 64] [--out DIR]

An MLP 784-200-200-62, or a CNN of two convolutions (32 and 64 channels), a pool and 128 units, on 100 uint8 images of
28x28 a client, batches of 20. "bare" is the time of one gradient of a batch and its step: the difference between FedAvg
of four epochs and of one, divided by the steps between them; for methods that step on all rows (AFL, L2GD) it is that
of all rows, for LoRA that of the model with its adapters. A round's ratio is its time over (gradient evaluations a
round / devices) * bare; gradient evaluations are `cost`, in batches, in which a forward pass counts a third. Times are
those of the fastest of --repeats blocks, of the method and of those two in turn: what else a machine does, or how warm
it is, moves all alike. --width: clients side by side, instead of the one that is chosen (which GPUs and TPUs measure
for each method: minutes). Bytes are those of one client and one round, kept ones between rounds.
"""

import argparse
import json
import platform
from functools import cache
from pathlib import Path

import jax
from round_time import population

import pfljax as pfl
from pfljax.engine.memory import said
from pfljax.engine.traffic import traffic
from pfljax.errors import PflError
from pfljax.models.lora import with_adapters
from pfljax.run.catalog import made

CLIENTS, ROWS, BATCH = 200, 100, 20
MODELS = {"mlp": lambda people: pfl.models.mlp(people, (200, 200)), "cnn": pfl.models.cnn}
ROUNDS = {"mlp": 4, "cnn": 1}  # a block
OTHER = {"afl": {}, "l2gd": {}}  # they take one step on all rows, whatever the others take
KINDS = dict.fromkeys(OTHER, "rows") | {"lora": "adapters"}  # of gradients; "batch" for all others
HEAD = """\
| algorithm | gradients a round | us a gradient | ms a round | ratio | compile s | down | up | kept |
|---|---:|---:|---:|---:|---:|---:|---:|---:|"""


def in_turn(methods, people, options: argparse.Namespace) -> list[tuple[list[float], float]]:
    """For each method (seconds a round of each block but the first, seconds of compilation); all take turns."""
    length = ROUNDS[options.model]
    arguments = {"cohort": options.cohort, "block": length, "unseen": 0.0, "width": options.width}
    arguments |= {"rounds": length * (options.repeats + 1), "on_nonfinite": "drop"}  # labels are random
    runs = [pfl.rounds(method, people, **arguments) for method in methods]
    first, *rest = zip(*runs, strict=True)
    seconds = [[block.seconds / length for block in blocks] for blocks in zip(*rest, strict=True)]
    return list(zip(seconds, (block.compile_seconds for block in first), strict=True))


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

    @cache
    def yardsticks(kind: str) -> tuple[list, float]:
        """(FedAvg twice, how many gradients of this kind the second takes more on one device)."""
        on = with_adapters(model) if kind == "adapters" else model
        work = lambda num: {"steps": num, "batch": None} if kind == "rows" else {"epochs": num, "batch": BATCH}
        steps = 1 if kind == "rows" else -(-ROWS // BATCH)
        return [pfl.algorithms.fedavg(on, **work(num)) for num in (1, 4)], 3 * options.cohort * steps / num_devices

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
        pair, steps = yardsticks(KINDS.get(name, "batch"))
        (less, _), (more, _), (seconds, compiling) = in_turn((*pair, algorithm), people, options)
        gradient = (min(more) - min(less)) / steps
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
