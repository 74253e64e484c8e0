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
        """The state of `owners`, in their order, on the devices, in arrays for `capacity` clients."""

        def take(leaf):
            part = np.zeros((capacity, *leaf.shape[1:]), leaf.dtype)
            part[: len(owners)] = leaf[owners]
            return part

        return put(jax.tree.map(take, self.clients), by_client(mesh))

    def take_back(self, owners: np.ndarray, clients: Clients) -> None:
        def put(leaf, new):
            leaf[owners] = np.asarray(new)[: len(owners)]

        jax.tree.map(put, self.clients, clients)


def owners_of(plan: Plan, num_clients: int) -> np.ndarray:
    """The state rows that a plan's clients have, rising, each once."""
    num = plan.num_rounds
    owner = plan.run[:num].astype(np.int64) * num_clients + plan.row[:num]
    return np.unique(owner[plan.mask[:num]])


def num_bytes(shapes: Clients) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))
