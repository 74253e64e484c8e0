"""A population on its devices: raw rows, and where each client's rows begin and end."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from pfljax.data.memory import aligned
from pfljax.data.population import Population
from pfljax.data.shard import Rows, Shard
from pfljax.engine.devices import put, replicated
from pfljax.errors import PflError
from pfljax.types import Array, Tree

SPLITS = ("train", "validation", "test")


class Placed(NamedTuple):
    """arrays: {name: [row, ...]}; first: [client] int32, where a client's rows begin; ends: [client, split] int32,
    where its train, validation and test rows end, counted from there.
    """

    arrays: Mapping[str, Array]
    first: Array
    ends: Array


def place(population: Population, mesh: Mesh) -> Placed:
    """Puts a population on every device of the mesh; CPU devices share the host's memory where it is aligned."""
    host = placed_on_host(population)
    if mesh.devices.flat[0].platform == "cpu":
        host = jax.tree.map(aligned, host)
    return put(host, replicated(mesh))


def placed_on_host(population: Population) -> Placed:
    """The same as numpy arrays.

    Raises PflError beyond 2**31 - 1 rows, which int32 offsets cannot count.
    """
    if population.num_rows > np.iinfo(np.int32).max:
        raise PflError(
            f"population: expected at most 2147483647 rows on a device, got {population.num_rows}; "
            "use examples='streamed'"
        )
    arrays = {name: narrow(name, array) for name, array in population.arrays.items()}
    return Placed(arrays, population.offsets[:-1].astype(np.int32), ends(population))


def placed_shapes(population: Population, mesh: Mesh) -> Placed:
    """What `place` returns, as shapes."""

    def shape(*sizes: int, dtype: Any = np.int32) -> Any:
        return jax.ShapeDtypeStruct(sizes, dtype, sharding=replicated(mesh))

    num_clients = population.num_clients
    arrays = {name: shape(*array.shape, dtype=narrowed(array.dtype)) for name, array in population.arrays.items()}
    return Placed(arrays, shape(num_clients), shape(num_clients, len(SPLITS)))


def ends(population: Population) -> np.ndarray:
    """[client, split] int32: where each client's train, validation and test rows end, counted from its first."""
    return np.column_stack([population.bounds, np.diff(population.offsets)]).astype(np.int32)


def narrow(name: str, array: np.ndarray) -> np.ndarray:
    """The array in the dtype that devices use; a value that would change on the way is refused."""
    dtype = narrowed(array.dtype)
    if dtype == array.dtype:
        return array
    limits = np.finfo(dtype) if array.dtype.kind == "f" else np.iinfo(dtype)
    if array.size and (array.min() < limits.min or array.max() > limits.max):
        raise PflError(
            f"array {name!r}: expected numbers that fit {dtype}, got {array.min()} to {array.max()}; "
            "rescale them, or enable 64-bit numbers with jax.config.update('jax_enable_x64', True)"
        )
    return array.astype(dtype)


def narrowed(dtype: np.dtype) -> np.dtype:
    """The dtype that devices use for it."""
    return np.dtype(jax.dtypes.canonicalize_dtype(dtype))


def max_count(population: Population) -> int:
    """The most train rows that any client has: the static size of `all rows` in differentiated loops."""
    return int(population.sizes("train").max())


def rows_of(placed: Placed, split: str, row: Array, most: int) -> Rows:
    index, end = SPLITS.index(split), placed.ends[row]
    begin = end[index - 1] if index else 0
    return Rows(placed.arrays, placed.first[row] + begin, end[index] - begin, most)


def shard_of(placed: Placed, row: Array, num_steps: Array, most: int) -> Shard:
    """A client's shard. Test rows are not in it."""
    return Shard(row, num_steps, rows_of(placed, "train", row, most), rows_of(placed, "validation", row, most))


def copied(tree: Tree, sharding) -> Tree:
    """Fresh buffers in their final sharding: the loop donates them, and a caller's arrays must survive that."""
    copies = jax.tree.map(lambda leaf: leaf.copy() if isinstance(leaf, jax.Array) else np.array(leaf), tree)
    return put(copies, sharding)
