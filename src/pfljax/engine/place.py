"""A population on its devices: raw rows, replicated, and where each client's rows begin."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from pfljax.data.population import Population
from pfljax.data.shard import Rows, Shard
from pfljax.engine.devices import replicated
from pfljax.errors import PflError
from pfljax.types import Array, Tree

SPLITS = ("train", "validation", "test")


class Placed(NamedTuple):
    """arrays: {name: [row, ...]}; starts, counts: {split: [client] int32}. All replicated."""

    arrays: Mapping[str, Array]
    starts: Mapping[str, Array]
    counts: Mapping[str, Array]


def place(population: Population, mesh: Mesh) -> Placed:
    """Puts a population on every device of the mesh."""
    return jax.device_put(placed_on_host(population), replicated(mesh))


def placed_on_host(population: Population) -> Placed:
    """The same as numpy arrays.

    Raises PflError beyond 2**31 - 1 rows, which int32 offsets cannot count.
    """
    if population.num_rows > np.iinfo(np.int32).max:
        raise PflError(f"population: expected at most 2147483647 rows on a device, got {population.num_rows}")
    spans = {split: population.span(split) for split in SPLITS}
    starts = {split: start.astype(np.int32) for split, (start, _) in spans.items()}
    counts = {split: count.astype(np.int32) for split, (_, count) in spans.items()}
    return Placed({name: _narrow(name, array) for name, array in population.arrays.items()}, starts, counts)


def _narrow(name: str, array: np.ndarray) -> np.ndarray:
    """The array in the dtype that devices use; a value that would change on the way is refused."""
    dtype = jax.dtypes.canonicalize_dtype(array.dtype)
    if dtype == array.dtype:
        return array
    limits = np.finfo(dtype) if array.dtype.kind == "f" else np.iinfo(dtype)
    if array.size and (array.min() < limits.min or array.max() > limits.max):
        raise PflError(
            f"array {name!r}: expected numbers that fit {np.dtype(dtype)}, got {array.min()} to {array.max()}; "
            "rescale them, or enable 64-bit numbers with jax.config.update('jax_enable_x64', True)"
        )
    return array.astype(dtype)


def max_count(population: Population) -> int:
    """The most train rows that any client has: the static size of `all rows` in differentiated loops."""
    return int(population.sizes("train").max())


def rows_of(placed: Placed, split: str, row: Array, most: int) -> Rows:
    return Rows(placed.arrays, placed.starts[split][row], placed.counts[split][row], most)


def shard_of(placed: Placed, row: Array, num_steps: Array, most: int) -> Shard:
    """A client's shard. Test rows are not in it."""
    return Shard(row, num_steps, rows_of(placed, "train", row, most), rows_of(placed, "validation", row, most))


def copied(tree: Tree, sharding) -> Tree:
    """Fresh buffers in their final sharding: the loop donates them, and a caller's arrays must survive that."""
    copies = jax.tree.map(lambda leaf: leaf.copy() if isinstance(leaf, jax.Array) else np.array(leaf), tree)
    return jax.device_put(copies, sharding)
