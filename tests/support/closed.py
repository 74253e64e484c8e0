"""Closed forms on quadratic clients: everybody takes part, in float64, in one compiled program."""

from collections.abc import Sequence

import jax
import numpy as np

import pfljax as pfl
from pfljax.engine.result import Result
from pfljax.types import Algorithm, Model
from tests.support.zoo import quadratic_model, quadratics

DIM = 3
START = 0.7
EYE = np.eye(DIM)


class Zoo:
    """n clients f_i(w) = (w - c_i)' A_i (w - c_i) / 2, with 4, 5, 6, ... rows each."""

    def __init__(self, num_clients: int, seed: int = 1):
        self.population, self.a, self.c = quadratics(num_clients, DIM, seed=seed)

    def run(self, algorithm: Algorithm, rounds: int, **arguments) -> Result:
        return run(algorithm, self.population, rounds, **arguments)


def model() -> Model:
    return quadratic_model(DIM, START)


def run(algorithm: Algorithm, population: pfl.data.Population, rounds: int, **arguments) -> Result:
    with jax.enable_x64(True):
        arguments = {"cohort": population.num_clients, "unseen": 0.0, "devices": 1, "block": rounds} | arguments
        return pfl.simulate(algorithm, population, rounds=rounds, **arguments)


def shared(result: Result) -> np.ndarray:
    return np.asarray(result.vars.params["w"])


def own(result: Result) -> np.ndarray:
    """[client, feature]: the model that each client keeps."""
    return np.asarray(result.clients.kept.params["w"])


def personal(result: Result, client: int, steps: int) -> np.ndarray:
    with jax.enable_x64(True):
        return np.asarray(result.personal(result.ids[client], steps).vars.params["w"])


def solve(matrices: Sequence[np.ndarray], centres: Sequence[np.ndarray]) -> np.ndarray:
    """Where sum M_i (w - c_i) is 0."""
    return np.linalg.solve(sum(matrices), sum(m @ c for m, c in zip(matrices, centres, strict=True)))


def mixture_of_local_models(a: Sequence[np.ndarray], c: Sequence[np.ndarray], lam: float) -> np.ndarray:
    """[client, feature]: the x that minimise sum f_i(x_i) + lam / 2 * |x_i - mean x|^2, as one linear system."""
    n, dim = len(a), len(c[0])
    left, right = np.zeros((n, dim, n, dim)), np.zeros((n, dim))
    for i in range(n):
        left[i, :, i, :] += a[i] + lam * np.eye(dim)
        left[i] -= lam / n * np.eye(dim)[:, None, :]
        right[i] = a[i] @ c[i]
    return np.linalg.solve(left.reshape(n * dim, n * dim), right.ravel()).reshape(n, dim)
