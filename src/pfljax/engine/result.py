"""What a run leaves: the server, the clients' kept state, the records."""

from dataclasses import dataclass

import numpy as np
from jax.sharding import Mesh

from pfljax.data.population import Population
from pfljax.engine.personal import personal
from pfljax.engine.round import Clients
from pfljax.errors import PflError
from pfljax.keys import Seeds
from pfljax.types import Algorithm, Census, Personal, Tree, Vars


@dataclass(frozen=True)
class Result:
    """The state after the last round.

    server: the algorithm's server state; clients: kept client state, [client, ...]
    records: one dict a round (round, clients, loss, ...); population: the one it was trained on
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

    def __init__(self, round: int, client_ids: tuple[str, ...], result: Result):
        self.round, self.client_ids, self.result = round, client_ids, result
        names = ", ".join(repr(name) for name in client_ids[:3]) + (" ..." if len(client_ids) > 3 else "")
        clients = f"{len(client_ids)} client{'s' if len(client_ids) > 1 else ''} ({names})"
        culprit = clients if client_ids else "the server's own step"
        remedy = "clip gradients, or set on_nonfinite to drop" if client_ids else "or the server's"
        super().__init__(
            f"round {round}: expected finite updates, got NaN or infinity from {culprit}; "
            f"lower the learning rate, {remedy}"
        )
