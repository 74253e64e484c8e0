"""A linear model of two parts, body and head, with gradients in closed form, to hold methods that share one of them
beside transcriptions of their papers in numpy.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import pfljax as pfl
from pfljax.engine.result import Result
from pfljax.models import losses
from pfljax.types import Algorithm, Model, Vars, Weighted

DIM, WIDTH, EXAMPLES = 3, 2, 4
START = np.random.default_rng(8).normal(size=(DIM, WIDTH)), np.random.default_rng(9).normal(size=WIDTH + 1)


class Client(NamedTuple):
    """Mean of (x body head[:-1] + head[-1] - y)^2 / 2. x: [row, example, feature]; y: [row, example]; steps of a round.

    Every population row holds several examples, so that a client whose rows are alike descends one loss whatever
    batch a step takes, and ragged clients differ by their numbers of steps alone.
    """

    x: np.ndarray
    y: np.ndarray
    steps: int

    @property
    def rows(self) -> int:
        return len(self.x)

    def grad(self, body: np.ndarray, head: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """body: [feature, hidden]; head: [hidden + 1], the bias last."""
        x, y = self.x.reshape(-1, DIM), self.y.reshape(-1)
        hidden = x @ body
        gap = (hidden @ head[:-1] + head[-1] - y) / len(y)
        return x.T @ np.outer(gap, head[:-1]), np.append(hidden.T @ gap, gap.sum())

    def cut(self) -> tuple["Client", "Client"]:
        """(the first half of the rows, the second, which gets an odd one)."""
        half = self.rows // 2
        return Client(self.x[:half], self.y[:half], self.steps), Client(self.x[half:], self.y[half:], self.steps)


class Parity(NamedTuple):
    """clients: all, by row; cohorts: [round][client] rows that took part, rising; result: pfljax's."""

    clients: list[Client]
    cohorts: np.ndarray
    result: Result

    @property
    def server(self) -> tuple[np.ndarray, np.ndarray]:
        """(body, head) of the server."""
        return flat(self.result.vars.params)

    @property
    def participants(self) -> list[int]:
        return np.unique(self.cohorts).tolist()


def flat(params) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(params["body"]["kernel"]), head(params)


def head(params) -> np.ndarray:
    return np.append(np.asarray(params["head"]["kernel"]), np.asarray(params["head"]["bias"]))


def model() -> Model:
    """Parameters: body/kernel [feature, hidden], head/kernel [hidden], head/bias []."""
    body, last = START

    def init(key):
        end = {"kernel": jnp.asarray(last[:-1]), "bias": jnp.asarray(last[-1])}
        return Vars({"body": {"kernel": jnp.asarray(body)}, "head": end})

    def apply(vars, batch, key, train):
        kernel, end = vars.params["body"]["kernel"], vars.params["head"]
        return batch["x"].astype(kernel.dtype) @ kernel @ end["kernel"] + end["bias"][None, None], vars.stats

    def loss(outputs, batch):
        error = 0.5 * (outputs - batch["y"].astype(outputs.dtype)) ** 2
        return Weighted(error.mean(axis=1), jnp.ones(error.shape[0], error.dtype))

    return Model(init, apply, loss, (("loss", losses.averaged(loss)),))


def alike(num_clients: int = 5) -> pfl.data.Population:
    """Ragged clients (4, 5, 6, ... rows); all rows of a client are the same, in float64."""
    return _population(num_clients, lambda draw, rows: [np.repeat(each, rows, axis=0) for each in draw(1)])


def various(num_clients: int = 5) -> pfl.data.Population:
    """Ragged clients (4, 5, 6, ... rows) whose rows all differ, in float64."""
    return _population(num_clients, lambda draw, rows: draw(rows))


def _population(num_clients, rows_of) -> pfl.data.Population:
    generator, clients = np.random.default_rng(1), {}
    for index in range(num_clients):
        draw = lambda rows: (generator.normal(size=(rows, EXAMPLES, DIM)), generator.normal(size=(rows, EXAMPLES)))
        x, y = rows_of(draw, 4 + index)
        clients[f"p{index}"] = {"x": x, "y": y + index}
    return pfl.data.Population.from_clients(clients, split=(1.0, 0.0, 0.0))


def run(algorithm: Algorithm, population: pfl.data.Population | None = None, *, rounds: int = 3, cohort: int = 3):
    """A part of the clients in each round, two devices; all clients are seen."""
    with jax.enable_x64(True):
        population = alike() if population is None else population
        arguments = {"cohort": cohort, "seed": 4, "unseen": 0.0, "devices": 2, "block": rounds}
        blocks = list(pfl.rounds(algorithm, population, rounds=rounds, **arguments))
        made = [population.client(name) for name in population.ids]
        steps = algorithm.steps(population.sizes("train")).tolist()
        clients = [Client(each["x"], each["y"], num) for each, num in zip(made, steps, strict=True)]
        return Parity(clients, np.concatenate([block.rows for block in blocks]), blocks[-1].result())
