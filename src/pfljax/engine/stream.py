"""Examples that stay on the host (in memory, or in memory-mapped files): each block brings its clients' rows along."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from pfljax.data.memory import announce, check_mapped, empty
from pfljax.data.population import Population
from pfljax.engine.devices import AXIS, by_client, own_devices, put, put_own, replicated
from pfljax.engine.place import SPLITS, Placed, ends, narrow, narrowed, place
from pfljax.errors import PflError

Examples = Literal["resident", "streamed"]


@dataclass(frozen=True, eq=False)
class Stream:
    """Gathers rows for devices. sizes: [client] rows, all splits."""

    population: Population
    mesh: Mesh
    sizes: np.ndarray

    @staticmethod
    def of(population: Population, mesh: Mesh) -> "Stream":
        if int(np.diff(population.offsets).max()) > np.iinfo(np.int32).max:
            raise PflError("population: expected at most 2147483647 rows a client; split the largest one")
        return Stream(population, mesh, np.diff(population.offsets))

    @cached_property
    def ends(self) -> jax.Array:
        """[client, split], on every device, once for all blocks."""
        return put(ends(self.population), replicated(self.mesh))

    @property
    def row_bytes(self) -> int:
        """Bytes of one row on a device."""
        arrays = self.population.arrays.values()
        return sum(array[:1].size * narrowed(array.dtype).itemsize for array in arrays)

    def num_rows(self, clients: list[np.ndarray]) -> int:
        """Rows that the fullest device needs. clients: rows in the population, one array a device."""
        return max(int(self.sizes[np.unique(rows)].sum()) for rows in clients)

    def gather(self, clients: list[np.ndarray], capacity: int) -> Placed:
        """Those clients' rows, each device's on itself, in arrays of `capacity` rows a device.

        Raises PflError if a memory-mapped file has shrunk.
        """
        offsets, mine = self.population.offsets, own_devices(self.mesh)
        for name, array in self.population.arrays.items():
            check_mapped(name, array)
        clients = [np.unique(clients[device]) for device in mine]  # other processes read the other devices' rows
        first = np.zeros((len(mine), self.population.num_clients), np.int32)
        index = []
        for device, rows in enumerate(clients):
            begin = np.cumsum(self.sizes[rows]) - self.sizes[rows]
            first[device, rows] = begin
            index.append(np.arange(self.sizes[rows].sum()) + np.repeat(offsets[rows] - begin, self.sizes[rows]))
        arrays = {}
        for name, array in self.population.arrays.items():
            shape = (len(mine), capacity, *array.shape[1:])
            arrays[name] = empty(shape, narrowed(array.dtype))
            for rows in clients:
                announce(array, offsets[rows], offsets[rows + 1])
            for device, rows in enumerate(index):
                arrays[name][device, : len(rows)] = narrow(name, array[rows])
                arrays[name][device, len(rows) :] = 0
        arrays, first = put_own((arrays, first), self.mesh)
        return Placed(arrays, first, self.ends)

    def shapes(self, capacity: int) -> Placed:
        """What `gather` returns, as shapes."""
        here, num_devices = by_client(self.mesh), self.mesh.size

        def shape(array: np.ndarray) -> Any:
            return jax.ShapeDtypeStruct((num_devices, capacity, *array.shape[1:]), narrowed(array.dtype), sharding=here)

        arrays = {name: shape(array) for name, array in self.population.arrays.items()}
        first: Any = jax.ShapeDtypeStruct((num_devices, self.population.num_clients), np.int32, sharding=here)
        last: Any = jax.ShapeDtypeStruct(
            (self.population.num_clients, len(SPLITS)), np.int32, sharding=replicated(self.mesh)
        )
        return Placed(arrays, first, last)


def here(placed: Placed) -> Placed:
    """Inside a device: its own part of a streamed population, as if it were all there is."""
    own = lambda leaf: leaf[0]
    return Placed(jax.tree.map(own, placed.arrays), own(placed.first), placed.ends)


def specs(is_streamed: bool) -> Any:
    """How a population's arrays lie on the mesh."""
    by_device: Any = P(AXIS)
    everywhere: Any = P()
    return Placed(by_device, by_device, everywhere) if is_streamed else everywhere


def examples_of(population: Population, mesh: Mesh, kind: Examples) -> Placed | Stream:
    """A population on the devices, or ready to be brought there."""
    return place(population, mesh) if kind == "resident" else Stream.of(population, mesh)
