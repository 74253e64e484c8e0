"""What a run leaves: the server, the clients' kept state, the records."""

from dataclasses import dataclass

import numpy as np
from jax.sharding import Mesh

from pfljax.data.population import Population
from pfljax.engine.personal import personal
from pfljax.engine.shelf import Clients
from pfljax.engine.stream import Examples
from pfljax.errors import PflError
from pfljax.keys import Seeds
from pfljax.types import Algorithm, Census, Personal, Tree, Vars


@dataclass(frozen=True)
class Result:
    """The state after the last round.

    server: the algorithm's server state; clients: kept client state, [client, ...], padded to the devices
    records: one dict a round (round, clients, loss, ...); population: the one it was trained on
    width, examples: how it was run, and is evaluated; diverged: why a run of a sweep stopped early, if it did
    """

    algorithm: Algorithm
    server: Tree
    clients: Clients
    records: tuple[dict, ...]
    population: Population
    census: Census
    seeds: Seeds
    mesh: Mesh
    width: int
    examples: Examples
    diverged: str | None = None

    def personal(self, client_id: str, steps: int = 0) -> Personal:
        """A client's own model after `steps` adaptation steps on its train rows; `.vars` holds its numbers.

        It is the model that `evaluate` measures, for seen and unseen clients alike.
        Raises PflError for an unknown id or a negative number of steps.
        """
        return personal(self, client_id, steps)

    @property
    def ids(self) -> tuple[str, ...]:
        """[client]: who is who."""
        return self.population.ids

    @property
    def seen(self) -> np.ndarray:
        """[client] bool: False for the clients that were held out of training."""
        return self.census.seen

    @property
    def vars(self) -> Vars:
        """The shared model's numbers."""
        return self.algorithm.send(self.server, 0).vars


class Diverged(PflError):
    """An update was not finite, or the server's own step (then client_ids is empty).

    `result` is the state before that round, with what was recorded.
    """

    def __init__(self, round: int, client_ids: tuple[str, ...], result: Result, message: str):
        self.round, self.client_ids, self.result = round, client_ids, result
        super().__init__(message)
