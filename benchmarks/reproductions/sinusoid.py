"""Sinusoid regression: MAML learns a start that one step adapts, pretraining does not.

Finn, Abbeel, Levine, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks", ICML 2017, section 5.1:
y = a sin(x - b), a from U[0.1, 5], b from U[0, pi], x from U[-5, 5]; a ReLU network of two layers of 40; 10 shots,
an inner rate of 0.01, Adam at 0.001, 25 tasks an iteration. A task is a client, an iteration a round.

python benchmarks/reproductions/sinusoid.py
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

import pfljax as pfl
from pfljax.engine.result import Result
from pfljax.evaluate import curve
from pfljax.models import losses
from pfljax.models.mlp import Mlp
from pfljax.types import Algorithm, Model, Weighted

SHOTS, NUM_TASKS, NUM_NEW, COHORT = 10, 4000, 600, 25
INNER_LR, META_LR = 0.01, 0.001
MARKS = (0, 1, 5, 10)
PRETRAINED_LRS = (0.001, 0.003, 0.005)  # pretraining is adapted at the rate that suits it best


def tasks(num_tasks: int, train_rows: int, test_rows: int, seed: int) -> pfl.data.Population:
    """A client per sine wave. x, y: [row, 1]."""
    stream = np.random.default_rng(seed)
    return pfl.data.generators.sinusoids(num_tasks, (train_rows, 0, test_rows), stream).population


def model() -> Model:
    def squared_distance(outputs, batch):
        return Weighted(((outputs - batch["y"]) ** 2).sum(axis=-1), jnp.ones(batch["mask"].shape, jnp.float32))

    return pfl.models.from_nnx(
        lambda rngs: Mlp((1, 40, 40, 1), jax.nn.relu, rngs),
        squared_distance,
        {"mse": losses.averaged(squared_distance)},
        inputs=lambda batch: (batch["x"],),
    )


def maml() -> Algorithm:
    """One meta-step per client and round: the server's Adam sees the mean meta-gradient."""
    return pfl.algorithms.per_fedavg(
        model(), optax.sgd(1.0), optax.adam(META_LR), inner_lr=INNER_LR, steps=1, batch=SHOTS
    )


def pretraining() -> Algorithm:
    """The same rows, tasks and optimizer, and no inner loop."""
    return pfl.algorithms.fedavg(
        model(), optax.sgd(1.0), optax.adam(META_LR), steps=1, batch=2 * SHOTS, weighting="uniform"
    )


def train(algorithm: Algorithm, rounds: int, seed: int) -> Result:
    population = tasks(NUM_TASKS, 2 * SHOTS, 0, seed=seed)
    return pfl.simulate(algorithm, population, cohort=COHORT, rounds=rounds, unseen=0.0, seed=seed)


def errors(trained: Result, lr: float, seed: int, marks: tuple[int, ...] = MARKS) -> np.ndarray:
    """[mark]: the mean squared error on tasks that nobody trained on, after so many steps of `lr` on all 10 shots."""
    new = tasks(NUM_NEW, SHOTS, 100, seed=1_000 + seed)
    still = pfl.algorithms.fedavg_finetune(
        model(), server_opt=optax.sgd(0.0), personal_opt=optax.sgd(lr), steps=1, batch=SHOTS
    )
    result = pfl.simulate(still, new, cohort=COHORT, rounds=1, unseen=0.0, params=trained.vars)
    return curve(result, new, marks).values["test"]["mse"].mean(axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=4_000)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    pfl.use_cores()
    rows: dict[str, list[np.ndarray]] = {}
    for seed in range(arguments.seeds):
        for name, algorithm, rates in (("MAML", maml(), (INNER_LR,)), ("pretrained", pretraining(), PRETRAINED_LRS)):
            begun = time.perf_counter()
            trained = train(algorithm, arguments.rounds, seed)
            print(f"# seed {seed}, {name}: {time.perf_counter() - begun:.0f} s", flush=True)
            for lr in rates:
                rows.setdefault(f"{name}, steps of {lr}", []).append(errors(trained, lr, seed))
    print(f"| mean squared error, {arguments.seeds} seeds | {' | '.join(f'{mark} steps' for mark in MARKS)} |")
    print("|---" * (1 + len(MARKS)) + "|")
    for name, figures in rows.items():
        mean, spread = np.mean(figures, axis=0), np.std(figures, axis=0)
        cells = [f"{m:.2f} ± {s:.2f}" for m, s in zip(mean, spread, strict=True)]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
