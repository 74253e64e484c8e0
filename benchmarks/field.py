"""All methods on the same populations under one protocol: what each brings a client, seen and unseen.

    python benchmarks/field.py synthetic wearable keyboard [--names fedavg ditto ...] [--out docs/field.json]

One protocol for all: the same model, cohorts, rounds, local work and seeds. Every method's client rate is chosen from
`RATES` on validation clients: the held-out ones of a run of their own (`CHOICE`), by the mean figure of their
validation rows with their own models. Other rates of a method (of its inner loop, of its own model) are the same
number, everything else is its default. Then `SEEDS`, side by side in one program, each with unseen clients of its own.
Test rows are looked at once, at the end. Results are added to the file, method by method. FedBN is not here: none of
these models has a layer to normalize.
"""

import argparse
import json
import platform
import time
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import optax

import pfljax as pfl
from pfljax import local
from pfljax.engine.result import Result
from pfljax.evaluate import Entry, curve

RATES = (0.03, 0.1, 0.3, 1.0)
CHOICE = 4
SEEDS = (0, 1, 2, 3)
MARKS = (0, 1, 5, 20)
TIED = ("lr", "inner_lr")  # hyper-parameters that follow the client's rate


class Setting(NamedTuple):
    """A population, its model, and how much everybody trains."""

    population: pfl.data.Population
    model: pfl.types.Model
    cohort: int
    rounds: int
    work: dict


def setting(name: str) -> Setting:
    if name == "synthetic":
        population = pfl.data.generators.synthetic(1.0, 1.0).population
        return Setting(population, pfl.models.mlp(population, (20,)), 10, 100, {"steps": 20, "batch": 20})
    if name == "wearable":
        population = pfl.data.load(name)
        return Setting(population, pfl.models.mlp(population, (64,)), 10, 60, {"steps": 10, "batch": 32})
    population = pfl.data.load(name, min_characters=1000)
    population = population.take(range(0, population.num_clients, 3))  # enough to tell methods apart, in an hour
    return Setting(population, pfl.models.char_lm(population), 20, 60, {"steps": 10, "batch": 32})


def rate(sent):
    """A client optimizer whose rate is traced: all rates share a program."""
    return local.sgd(sent.hyper["lr"])


A, BASE = pfl.algorithms, "!head/*"
FIXED = {  # the rate is part of the server's optimizer, so of the program; its momentum multiplies it by ten
    "mime": lambda model, work, lr: A.mime(model, optax.sgd(lr / 10, 0.9), **work),
    "mimelite": lambda model, work, lr: A.mimelite(model, optax.sgd(lr / 10, 0.9), **work),
}
METHODS = {
    "local_only": lambda model, work: A.local_only(model, rate, **work),
    "fedavg": lambda model, work: A.fedavg(model, rate, **work),
    "fedavg_finetune": lambda model, work: A.fedavg_finetune(model, rate, personal_opt=rate, **work),
    "fedprox": lambda model, work: A.fedprox(model, rate, **work),
    "scaffold": lambda model, work: A.scaffold(model, **work),
    "fednova": lambda model, work: A.fednova(model, rate, **work),
    "fedavgm": lambda model, work: A.fedavgm(model, rate, **work),
    "fedadagrad": lambda model, work: A.fedadagrad(model, rate, **work),
    "fedadam": lambda model, work: A.fedadam(model, rate, **work),
    "fedyogi": lambda model, work: A.fedyogi(model, rate, **work),
    "fedadam_corrected": lambda model, work: A.fedadam_corrected(model, rate, **work),
    "fedyogi_corrected": lambda model, work: A.fedyogi_corrected(model, rate, **work),
    "feddyn": lambda model, work: A.feddyn(model, rate, **work),
    "fedexp": lambda model, work: A.fedexp(model, rate, **work),
    "qfedavg": lambda model, work: A.qfedavg(model, **work),
    "afl": lambda model, work: A.afl(model, **work),
    "per_fedavg": lambda model, work: A.per_fedavg(model, rate, **work),
    "anil": lambda model, work: A.anil(model, rate, adapt="head/*", **work),
    "reptile": lambda model, work: A.reptile(model, rate, **work),
    "imaml": lambda model, work: A.imaml(model, rate, **work),
    "meta_sgd": lambda model, work: A.meta_sgd(model, rate, **work),
    "ditto": lambda model, work: A.ditto(model, rate, **work),
    "pfedme": lambda model, work: A.pfedme(model, **work),
    "apfl": lambda model, work: A.apfl(model, rate, **work),
    "mapper": lambda model, work: A.mapper(model, rate, **work),
    "l2gd": lambda model, work: A.l2gd(model, lam=0.1, prob=0.2, batch=work["batch"]),
    "fedper": lambda model, work: A.fedper(model, rate, **work),
    "lg_fedavg": lambda model, work: A.lg_fedavg(model, rate, **work),
    "fedsim": lambda model, work: A.fedsim(model, rate, shared=BASE, **work),
    "fedalt": lambda model, work: A.fedalt(model, rate, shared=BASE, **work),
    "fedrep": lambda model, work: A.fedrep(model, rate, **work),
    "fedbabu": lambda model, work: A.fedbabu(model, rate, **work),
    "fedrecon": lambda model, work: A.fedrecon(model, rate, shared=BASE, recon_opt=rate, **work),
    "fedrod": lambda model, work: A.fedrod(model, rate, **work),
    "lora": lambda model, work: A.lora(model, rate, kernels="head/kernel", **work),
    "ifca": lambda model, work: A.ifca(model, rate, **work),
    "fedala": lambda model, work: A.fedala(model, rate, **work),
    "pfedhn": lambda model, work: A.pfedhn(model, rate, **work),
    "fedproto": lambda model, work: A.fedproto(model, rate, **work),
    "knn_per": lambda model, work: A.knn_per(model, rate, **work),
    "fedfomo": lambda model, work: A.fedfomo(model, rate, **work),
}
NAMES = sorted((*METHODS, *FIXED))


def run(name: str, case: Setting, rates: tuple[float, ...], seeds: tuple[int, ...]) -> list[Result]:
    """Every rate with every seed, in one program where the method's rate is traced."""
    common = {"cohort": case.cohort, "rounds": case.rounds, "seeds": seeds}
    if name in FIXED:
        made = [FIXED[name](case.model, case.work, lr) for lr in rates]
        return [result for algorithm in made for result in pfl.simulate(algorithm, case.population, **common)]
    algorithm = METHODS[name](case.model, case.work)
    algorithm = algorithm._replace(hyper={"lr": rates[0], **algorithm.hyper})
    # The rates of an inner loop and of a client's own model are the client's.
    tied = {name: rates for name in TIED if name in algorithm.hyper}
    return list(pfl.simulate(algorithm, case.population, **common, hyper=tied))


def personal(result: Result) -> Entry:
    return Entry.chosen("personal", curve(result, result.population, MARKS), result)


def finite(figures: np.ndarray) -> np.ndarray:
    """Accuracies of the clients that have any; 0 for outputs that are not finite."""
    return np.where(np.isfinite(figures), figures, 0)[~np.isnan(figures)]


def validation(result: Result) -> float:
    """What a rate is chosen by: the held-out clients' mean; a run that diverged is the last choice."""
    if result.diverged is not None:
        return -1.0
    entry = personal(result)
    figures = entry.curve.values["validation"][entry.curve.metric][entry.index, np.arange(len(entry.index))]
    return float(finite(figures[~result.seen]).mean())


def measure(name: str, case: Setting) -> dict:
    """The chosen rate and, for seen and unseen clients, mean test accuracy and 10th percentile of each seed."""
    begin = time.perf_counter()
    figures = [validation(result) for result in run(name, case, RATES, (CHOICE,))]
    best = RATES[int(np.argmax(figures))]
    found: dict = {"rate": best, "validation": dict(zip(map(str, RATES), figures, strict=True))}
    for group in ("seen", "unseen"):
        found[group] = {"mean": [], "p10": []}
    for result in run(name, case, (best,), SEEDS):
        test = personal(result).test()
        for group, who in (("seen", result.seen), ("unseen", ~result.seen)):
            values = finite(test[who])
            found[group]["mean"].append(float(values.mean()))
            found[group]["p10"].append(float(np.percentile(values, 10)))
    return found | {"seconds": time.perf_counter() - begin}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("populations", nargs="+", choices=("synthetic", "wearable", "keyboard"))
    parser.add_argument("--names", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--out", type=Path, default=Path("docs/field.json"))
    options = parser.parse_args()
    for where in options.populations:
        case = setting(where)
        for name in options.names:
            found = measure(name, case)
            seen, unseen = (np.mean(found[group]["mean"]) for group in ("seen", "unseen"))
            print(
                f"{where} {name}: rate {found['rate']}, seen {seen:.3f}, unseen {unseen:.3f}, {found['seconds']:.0f} s",
                flush=True,
            )
            book = json.loads(options.out.read_text()) if options.out.exists() else {}
            book.setdefault(where, {})[name] = found
            book["made with"] = (
                f"jax {jax.__version__}, Python {platform.python_version()}, {jax.device_count()} CPU devices"
            )
            options.out.write_text(json.dumps(book, indent=1, sort_keys=True) + "\n")
            jax.clear_caches()  # programs map memory, of which a process gets only so many pieces


if __name__ == "__main__":
    pfl.use_cores()
    main()
