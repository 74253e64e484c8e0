"""Client state in the host's memory: each block's clients bring theirs to the devices, and take it home after."""

from dataclasses import dataclass
from typing import Literal

import jax
import numpy as np
from jax.sharding import Mesh

from pfljax.engine.devices import by_client, put
from pfljax.engine.memory import host_free_bytes, said
from pfljax.engine.round import Clients
from pfljax.errors import PflError
from pfljax.plan import Plan

State = Literal["device", "host"]


@dataclass(frozen=True, eq=False)
class Kept:
    """clients: kept [client, ...], visited [client] bool, one run's clients after another's; numpy, written in place"""

    clients: Clients

    @staticmethod
    def fresh(shapes: Clients) -> "Kept":
        """Zeros for every client, visited nowhere. Raises PflError if they do not fit."""
        needed, free = num_bytes(shapes), host_free_bytes()
        if needed > free:
            raise PflError(
                f"state: expected the kept state of {len(shapes.visited)} clients to fit into {said(free)} of the "
                f"host's free memory, got {said(needed)}; use a smaller model, fewer clients or a stateless algorithm"
            )
        return Kept(jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), shapes))

    def lend(self, owners: np.ndarray, capacity: int, mesh: Mesh) -> Clients:
        """The state of `owners` on the devices, each at its `lent_places`, in arrays for `capacity` clients."""

        place = lent_places(np.arange(len(owners)), capacity, mesh)

        def take(leaf):
            part = np.zeros((capacity, *leaf.shape[1:]), leaf.dtype)
            part[place] = leaf[owners]
            return part

        return put(jax.tree.map(take, self.clients), by_client(mesh))

    def take_back(self, owners: np.ndarray, clients: Clients, capacity: int, mesh: Mesh) -> None:
        """Stores what has become of the state that was lent."""
        place = lent_places(np.arange(len(owners)), capacity, mesh)

        def store(leaf, new):
            leaf[owners] = np.asarray(new)[place]

        jax.tree.map(store, self.clients, clients)


def lent_places(index: np.ndarray, capacity: int, mesh: Mesh) -> np.ndarray:
    """Where the index-th client's state lies among `capacity` rows: in turn on every device, so that all have alike."""
    return index % mesh.size * -(-capacity // mesh.size) + index // mesh.size


def owners_of(plan: Plan, num_clients: int) -> np.ndarray:
    """The state rows that a plan's clients have, rising, each once."""
    num = plan.num_rounds
    owner = plan.run[:num].astype(np.int64) * num_clients + plan.row[:num]
    return np.unique(owner[plan.mask[:num]])


def num_bytes(shapes: Clients) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))
