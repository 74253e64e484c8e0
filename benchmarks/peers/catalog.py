"""The works by name: the shapes of real tasks, values from a seed. Timing needs the shapes alone."""

from typing import NamedTuple

import numpy as np

from peers import models
from peers.work import Work, schedule


class Setting(NamedTuple):
    """The numbers of a work. rows: examples of every client, or None for log-normal sizes of `spread`."""

    about: str
    model: dict
    clients: int
    cohort: int
    rows: int | None
    batch: int
    lr: float = 0.1
    weighting: str = "examples"
    inner_lr: float = 0.0
    median: int = 30
    spread: float = 1.5
    rounds: int = 10_000  # more than the fastest contestant gets through


MLP = models.mlp(784, 200, 200, 62)
SETTINGS = {
    "lr": Setting("logistic regression 60-10", models.mlp(60, 10), 1000, 200, 100, 20),
    "mlp": Setting("MLP 784-200-200-62 on uint8", MLP, 1000, 128, 100, 20),
    "cnn": Setting(
        "conv 32, conv 64, pool, 128, 62 on 28x28", models.cnn((28, 28, 1), (32, 64), 128, 62), 200, 32, 100, 20,
        lr=0.05,
    ),
    "cifar10-pfl": Setting(
        "pfl-research's CIFAR10 CNN without dropout and without central evaluation",
        models.cnn((32, 32, 3), (32, 64), 128, 10), 1000, 50, 50, 10, weighting="uniform",
    ),
    "ragged": Setting("the MLP on log-normal client sizes (median 30, sigma 1.5)", MLP, 2000, 128, None, 20),
    "charlm": Setting("one attention block, 90 symbols", models.attention(90, 20, 64, 4, 128), 500, 64, 96, 16),
    "maml": Setting(
        "the MLP under Per-FedAvg, one inner step, batches of 20 and 20", MLP, 500, 64, 200, 20,
        weighting="uniform", inner_lr=0.1,
    ),
}  # fmt: skip

SMALL = {"clients": 12, "cohort": 5, "batch": 5, "rounds": 300, "median": 8, "spread": 0.7}
SMALL_MODELS = {
    "charlm": models.attention(12, 6, 8, 2, 16),
    "lr": models.mlp(6, 4),
    "cnn": models.cnn((8, 8, 1), (2, 3), 8, 4),
    "cifar10-pfl": models.cnn((8, 8, 3), (2, 3), 8, 4),
}


def make(name: str, *, is_tiny: bool = False, seed: int = 0) -> Work:
    """One of SETTINGS. `is_tiny` cuts clients and widths, for tests."""
    setting = SETTINGS[name]
    if is_tiny:
        rows = setting.rows and 10
        setting = setting._replace(**SMALL, rows=rows, model=SMALL_MODELS.get(name, models.mlp(16, 8, 8, 4)))
    random = np.random.default_rng([seed, *name.encode()])
    sizes = _sizes(setting, random)
    return Work(
        name=name,
        arrays=_arrays(setting.model, int(sizes.sum()), random),
        offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        schedule=schedule(setting.clients, setting.cohort, setting.rounds, seed),
        batch=setting.batch,
        epochs=1,
        lr=setting.lr,
        weighting=setting.weighting,
        model=setting.model,
        params=models.initial(setting.model, seed),
        seed=seed,
        inner_lr=setting.inner_lr,
    )


def _sizes(setting: Setting, random: np.random.Generator) -> np.ndarray:
    if setting.rows is not None:
        return np.full(setting.clients, setting.rows)
    sizes = np.rint(np.exp(random.normal(np.log(setting.median), setting.spread, setting.clients)))
    return np.clip(sizes, 1, 4000).astype(int)


def _arrays(model: dict, rows: int, random: np.random.Generator) -> dict[str, np.ndarray]:
    """x, y: [row, ...]; labels are chance. An MLP's images are mostly dark, as handwriting is.

    A CNN's are not: activations that tie in a max pool have more than one gradient.
    """
    draw = lambda *shape: random.integers(0, models.num_classes(model), shape, dtype=np.int32)
    if model["kind"] == "attention":
        return {"x": draw(rows, model["time"]), "y": draw(rows, model["time"])}
    shape = model.get("shape") or model["sizes"][:1]
    if model["kind"] == "mlp" and shape[0] < 100:
        return {"x": random.normal(size=(rows, *shape)).astype(np.float32), "y": draw(rows)}
    x = random.integers(0, 256, (rows, *shape), dtype=np.uint8)
    if model["kind"] == "mlp":
        x *= random.random((rows, *shape), dtype=np.float32) < 0.2
    return {"x": x, "y": draw(rows)}
