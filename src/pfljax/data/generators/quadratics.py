"""Clients' quadratics as data: losses whose minimizers are known in closed form."""

import numpy as np

from pfljax.data.generators.generated import Counts, Generated, about, counts, equal_clients, stream
from pfljax.errors import at_least, whole

GRID = 256  # optima and deviations are whole multiples of 1 / GRID, so that their sums are exact in float32


def quadratics(
    num_clients: int = 20,
    dim: int = 5,
    num_rows: Counts = (12, 4, 4),
    spread: float = 1.0,
    noise: float = 1.0,
    condition: float = 10.0,
    seed: int | np.random.Generator = 0,
) -> Generated:
    """f_i(w) = mean over rows of curvature' (w - x)^2 / 2. x, curvature: [row, dim] f32, the latter the client's own.

    The rows of each split of a client scatter by `noise` around its optimum and have it as their mean, to the bit.
    Optima scatter by `spread` around a common point. Curvatures are log-uniform from 1 to `condition`; 1 makes all
    clients' the same, and the minimizer the mean of the optima.

    truth: optima [client, dim], curvature [client, dim], and minimizer [dim], of the mean of f_i over clients

    >>> population, truth = quadratics(3, dim=2)
    >>> bool(np.all(population.client("q0")["x"].mean(axis=0) == truth["optima"][0]))
    True
    """
    parts = counts(num_rows)
    whole("num_clients", num_clients)
    whole("dim", dim)
    at_least("spread", spread, 0)
    at_least("noise", noise, 0)
    at_least("condition", condition, 1)
    generator = stream(seed, "quadratics")
    optima = _on_grid(generator.normal(size=dim) + spread * generator.normal(size=(num_clients, dim)))
    curvature = np.exp(generator.uniform(0, np.log(condition), (num_clients, dim))).astype(np.float32).astype(float)
    deviations = [_balanced(noise * generator.normal(size=(num_clients, part, dim))) for part in parts]
    x = optima[:, None] + np.concatenate(deviations, axis=1)
    arrays = {"x": x, "curvature": np.broadcast_to(curvature[:, None], x.shape)}
    population = equal_clients(
        {name: array.astype(np.float32) for name, array in arrays.items()},
        num_rows,
        "q",
        about("quadratics", "a point of least cost"),
    )
    minimizer = (curvature * optima).sum(axis=0) / curvature.sum(axis=0)
    return Generated(population, {"optima": optima, "curvature": curvature, "minimizer": minimizer})


def _on_grid(values: np.ndarray) -> np.ndarray:
    return np.rint(values * GRID) / GRID


def _balanced(values: np.ndarray) -> np.ndarray:
    """[client, row, dim]: every second row the one before it with the other sign, and an odd last one zero."""
    balanced = _on_grid(values)
    pairs = values.shape[1] // 2
    balanced[:, 1 : 2 * pairs : 2] = -balanced[:, 0 : 2 * pairs : 2]
    balanced[:, 2 * pairs :] = 0
    return balanced
