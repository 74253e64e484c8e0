"""A run on quadratic clients as it stands after every round, in float64; and clients whose rows differ."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

import pfljax as pfl
from pfljax.types import Algorithm
from tests.support.parity import DIM, START
from tests.support.zoo import quadratics


class Moment(NamedTuple):
    """After a round. rows: who took part; w: the server's model; server, kept: numpy trees, kept [client, ...]."""

    rows: np.ndarray
    w: np.ndarray
    server: Any
    kept: Any


class Trajectory(NamedTuple):
    """seen: [client] bool; start: the model before the first round."""

    a: np.ndarray
    c: np.ndarray
    seen: np.ndarray
    moments: list[Moment]

    @property
    def start(self) -> np.ndarray:
        return np.full(DIM, START)

    def pairs(self) -> Iterator[tuple[np.ndarray, Any, Moment]]:
        """(model, kept state before the round, the moment after it); no kept state before the first."""
        w, kept = self.start, None
        for moment in self.moments:
            yield w, kept, moment
            w, kept = moment.w, moment.kept


def follow(algorithm: Algorithm, *, rounds: int = 5, cohort: int = 3, unseen: float = 0.2, seed: int = 4) -> Trajectory:
    """Five ragged clients, one of them never trained on, a part of the others in each round, two devices."""
    with jax.enable_x64(True):
        population, a, c = quadratics(5, DIM, seed=1)
        moments = []
        arguments = {"rounds": rounds, "cohort": cohort, "unseen": unseen, "seed": seed, "devices": 2, "block": 1}
        for block in pfl.rounds(algorithm, population, **arguments):
            result = block.result()
            server = jax.tree.map(np.array, result.server)
            kept = jax.tree.map(lambda leaf: np.array(leaf)[: len(a)], result.clients.kept)  # the rest is padding
            moments.append(Moment(block.rows[0], np.array(result.vars.params["w"]), server, kept))
        return Trajectory(np.stack(a), np.stack(c), np.asarray(result.seen), moments)


def noisy(num_clients: int = 3, rows: int = 5, seed: int = 2) -> tuple[pfl.data.Population, np.ndarray, np.ndarray]:
    """(population, [client] A, [client] mean centre): a client's rows share its A, and each has a centre of its own.

    Losses and gradients of a batch depend on its rows; differences of gradients at two models do not.
    """
    generator = np.random.default_rng(seed)
    matrices, centres, clients = [], [], {}
    for index in range(num_clients):
        root = generator.normal(size=(DIM, DIM)) / np.sqrt(DIM)
        matrices.append(root @ root.T + 0.2 * np.eye(DIM))
        own = generator.normal(size=(rows + 2 * index, DIM))
        centres.append(own.mean(axis=0))
        clients[f"n{index}"] = {"x": np.hstack([own, np.tile(matrices[-1].ravel(), (len(own), 1))])}
    population = pfl.data.Population.from_clients(clients, split=(1.0, 0.0, 0.0))
    return population, np.stack(matrices), np.stack(centres)


def on_noisy(algorithm: Algorithm, rounds: int = 1) -> tuple[pfl.data.Population, np.ndarray, np.ndarray, Any]:
    """(population, A, mean centres, result) of a run in which everybody takes part."""
    with jax.enable_x64(True):
        population, a, c = noisy()
        result = pfl.simulate(
            algorithm, population, rounds=rounds, cohort=population.num_clients, unseen=0.0, seed=4, devices=1
        )
        return population, a, c, result
