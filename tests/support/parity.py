"""Runs an algorithm on quadratic clients in float64, to hold a transcription of its paper in numpy beside it.

Every row of a client is the same quadratic, so a batch's gradient is the client's A (w - c) whatever rows it holds, and
ragged clients differ by their numbers of steps alone.
"""

from typing import NamedTuple

import jax
import numpy as np

import pfljax as pfl
from pfljax.engine.result import Result
from pfljax.types import Algorithm
from tests.support.zoo import quadratic_model, quadratics

DIM = 3
START = 0.7


class Client(NamedTuple):
    """f(w) = (w - c)' A (w - c) / 2; rows: train rows; steps: local steps of a round."""

    a: np.ndarray
    c: np.ndarray
    rows: int
    steps: int

    def loss(self, w: np.ndarray) -> float:
        return 0.5 * (w - self.c) @ self.a @ (w - self.c)

    def grad(self, w: np.ndarray) -> np.ndarray:
        return self.a @ (w - self.c)


class Parity(NamedTuple):
    """clients: all, by row; cohorts: [round][client] rows that took part, rising; result: pfljax's."""

    clients: list[Client]
    cohorts: np.ndarray
    result: Result

    @property
    def w(self) -> np.ndarray:
        return np.asarray(self.result.vars.params["w"])

    @property
    def start(self) -> np.ndarray:
        return np.full(DIM, START)


def model():
    return quadratic_model(DIM, START)


def run(algorithm: Algorithm, *, rounds: int = 3, num_clients: int = 5, cohort: int = 3, seed: int = 4) -> Parity:
    """Ragged clients (4, 5, 6, ... rows), a part of them in each round, two devices; all clients are seen."""
    with jax.enable_x64(True):
        population, matrices, centres = quadratics(num_clients, DIM, seed=1)
        blocks = list(
            pfl.rounds(
                algorithm, population, rounds=rounds, cohort=cohort, seed=seed, unseen=0.0, devices=2, block=rounds
            )
        )
        sizes = population.sizes("train")
        steps = algorithm.steps(sizes)
        clients = [Client(*each) for each in zip(matrices, centres, sizes.tolist(), steps.tolist(), strict=True)]
        return Parity(clients, np.concatenate([block.rows for block in blocks]), blocks[-1].result())
