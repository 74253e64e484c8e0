"""Client state in the host's memory: each block's clients bring theirs to the devices, and take it home after."""

from dataclasses import dataclass
from typing import Literal

import jax
import numpy as np
from jax.sharding import Mesh

from pfljax.engine.devices import AXIS, own_devices, own_rows, put_own
from pfljax.engine.memory import host_free_bytes, num_bytes, said
from pfljax.engine.shelf import Clients
from pfljax.errors import PflError
from pfljax.plan import Plan

State = Literal["device", "host"]


@dataclass(frozen=True, eq=False)
class Kept:
    """clients: kept [row, ...], visited [row] bool, one run's clients after another's; numpy, written in place

    The first `num_here` rows belong to the mesh's first device, and so on, as they would if devices kept them; in
    several processes each has the rows of its own devices.
    """

    clients: Clients
    num_here: int
    mesh: Mesh

    @staticmethod
    def fresh(shapes: Clients, mesh: Mesh) -> "Kept":
        """Zeros for every client, visited nowhere. shapes: padded to the mesh. Raises PflError if they do not fit."""
        needed, free = num_bytes(shapes) // jax.process_count(), host_free_bytes()
        if needed > free:
            raise PflError(
                f"state: expected the kept state of {len(shapes.visited)} clients to fit into {said(free)} of the "
                f"host's free memory, got {said(needed)}; use a smaller model, fewer clients or a stateless algorithm"
            )
        num_here = len(shapes.visited) // mesh.size
        num_own = num_here * len(own_devices(mesh))
        return Kept(jax.tree.map(lambda s: np.zeros((num_own, *s.shape[1:]), s.dtype), shapes), num_here, mesh)

    def gathered(self, owners: np.ndarray, num_lent: int) -> Clients:
        """The state of `owners`, numpy, each at its `lent_places` of this process's devices."""
        row, place = self._own(owners, num_lent)
        num_own = num_lent * len(own_devices(self.mesh))

        def take(leaf):
            part = np.zeros((num_own, *leaf.shape[1:]), leaf.dtype)
            part[place] = leaf[row]
            return part

        return jax.tree.map(take, self.clients)

    def lend(self, gathered: Clients, owners: np.ndarray, changed: np.ndarray, num_lent: int) -> Clients:
        """What was `gathered`, on the devices; that of `changed` as it is by now."""
        row, place = self._own(owners, num_lent)
        is_old = np.isin(row, self._own(changed, num_lent)[0])

        def renew(part, leaf):
            part[place[is_old]] = leaf[row[is_old]]

        jax.tree.map(renew, gathered, self.clients)
        return put_own(gathered, self.mesh)

    def take_back(self, owners: np.ndarray, lent: Clients, num_lent: int) -> None:
        """Stores what has become of the state that was lent."""
        row, place = self._own(owners, num_lent)

        def store(leaf, new):
            leaf[row] = own_rows(new, self.mesh)[place]

        jax.tree.map(store, self.clients, lent)

    def copied(self) -> Clients:
        """A copy: numpy, or in several processes arrays of all of them."""
        if jax.process_count() == 1:
            return jax.tree.map(np.copy, self.clients)
        return put_own(jax.tree.map(np.copy, self.clients), at_home(self.mesh))

    def restored(self, clients: Clients) -> "Kept":
        """With what `copied` once gave."""
        of_here = lambda leaf: leaf if isinstance(leaf, np.ndarray) else own_rows(leaf, at_home(self.mesh)).copy()
        return Kept(jax.tree.map(of_here, clients), self.num_here, self.mesh)

    def _own(self, owners: np.ndarray, num_lent: int) -> tuple[np.ndarray, np.ndarray]:
        """(the rows of those of `owners` that are this process's, where they are lent), both counted from its first."""
        first, num_own = own_devices(self.mesh)[0], len(own_devices(self.mesh))
        row, place = owners - first * self.num_here, lent_places(owners, self.num_here, num_lent) - first * num_lent
        is_own = (row >= 0) & (row < num_own * self.num_here)
        return row[is_own], place[is_own]


def at_home(mesh: Mesh) -> Mesh:
    """Where the hosts of several processes keep state, as devices: the CPUs of each.

    Raises PflError where JAX was told to use no CPUs.
    """
    if mesh.devices.flat[0].platform == "cpu":
        return mesh
    try:
        hosts = jax.devices("cpu")
    except RuntimeError as error:
        raise PflError(
            "state: expected CPU devices beside the others, to keep it on the hosts of several processes, got none; "
            "add cpu to JAX_PLATFORMS, as in cuda,cpu"
        ) from error
    one_each = {device.process_index: device for device in reversed(hosts)}
    return Mesh(np.asarray([one_each[process] for process in sorted(one_each)]), (AXIS,))


def lent_places(owners: np.ndarray, num_here: int, num_lent: int) -> np.ndarray:
    """Where state lies among the `num_lent` rows of each device: one after another, on the device that it belongs to.

    owners: rows of state, rising
    """
    home = owners // num_here
    return home * num_lent + np.arange(len(owners)) - np.searchsorted(home, home)


def most_lent(owners: np.ndarray, num_here: int) -> int:
    """Rows that the fullest device needs."""
    return int(np.bincount(owners // num_here).max(initial=0))


def owners_of(plan: Plan, num_clients: int) -> np.ndarray:
    """The state rows that a plan's clients have, rising, each once."""
    num = plan.num_rounds
    owner = plan.run[:num].astype(np.int64) * num_clients + plan.row[:num]
    return np.unique(owner[plan.mask[:num]])
