"""`Shard`: one client's view of the flat arrays inside a compiled round. Nobody's rows are copied or padded."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pfljax import keys
from pfljax.data.shuffle import permute
from pfljax.types import Array

TILE = 64  # rows at most in a step of a pass over all rows: of more, small clients would fill them with padding


def tile_of(max_count: int) -> int:
    """Rows of a tile: as few as make the largest client's tiles full.

    >>> tile_of(100), tile_of(64), tile_of(7)
    (50, 64, 7)
    """
    num_tiles = max(1, -(-max_count // TILE))
    return max(1, -(-max_count // num_tiles))


@dataclass(frozen=True)
class Rows:
    """A run of consecutive rows: start, count (traced int32) in {name: [row, ...]}; max_count is static."""

    arrays: Mapping[str, Any]
    start: Any
    count: Any
    max_count: int

    def batch(self, key: jax.Array, step: jax.Array, size: int) -> dict[str, jax.Array]:
        """The batch of a step: every row once an epoch, in an order that `key` and the epoch shuffle.

        Returns {name: [size, ...], "mask": [size] bool}; the last batch of an epoch is masked where rows run out.
        """
        num_batches = jnp.maximum((self.count + size - 1) // size, 1)
        position = (step % num_batches) * size + jnp.arange(size, dtype=jnp.int32)
        mask = position < self.count
        index = permute(keys.at(key, step // num_batches), jnp.where(mask, position, 0), jnp.maximum(self.count, 1))
        return self._take(index, mask)

    def disjoint(
        self, key: jax.Array, step: jax.Array, size: int | None, num_parts: int
    ) -> tuple[dict[str, jax.Array], ...]:
        """`num_parts` batches that share no row: the epoch's order is cut into equal parts, one for each.

        A part smaller than `size` is used whole (masked); a client with fewer rows than parts repeats its
        rows, for there is nothing else. `size=None` means all rows of the part.
        """
        size = -(-self.max_count // num_parts) if size is None else size
        count = jnp.maximum(self.count, 1)
        longest = (count + num_parts - 1) // num_parts
        num_batches = (longest + size - 1) // size
        key_epoch = keys.at(key, step // num_batches)
        offset = (step % num_batches) * size + jnp.arange(size, dtype=jnp.int32)
        part = jnp.arange(num_parts, dtype=jnp.int32)[:, None]
        begin = jnp.minimum(part * count // num_parts, count - 1)
        length = jnp.maximum((part + 1) * count // num_parts - begin, 1)
        index = permute(key_epoch, begin + offset[None] % length, count)
        mask = (jnp.arange(size, dtype=jnp.int32)[None] < length) & (self.count > 0)
        return tuple(self._take(index[i], mask[i]) for i in range(num_parts))

    def part(self, index: int, num_parts: int) -> "Rows":
        """One of `num_parts` runs of these rows that share none; of fewer rows than parts, some are repeated."""
        begin = jnp.clip(index * self.count // num_parts, 0, jnp.maximum(self.count - 1, 0))
        length = jnp.maximum((index + 1) * self.count // num_parts - begin, jnp.minimum(self.count, 1))
        return Rows(self.arrays, self.start + begin, length, -(-self.max_count // num_parts))

    def reduce(self, fn: Callable[[jax.Array, dict[str, jax.Array]], Any]) -> Any:
        """The sum of fn(tile index, batch) over all rows, in order; `fn` must ignore rows with mask False."""
        tile = tile_of(self.max_count)

        def tile_at(index):
            position = index * tile + jnp.arange(tile, dtype=jnp.int32)
            mask = position < self.count
            return self._take(jnp.where(mask, position, 0), mask)

        zeros = jax.tree.map(
            lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(lambda: fn(jnp.int32(0), tile_at(jnp.int32(0))))
        )
        add = lambda index, total: jax.tree.map(jnp.add, total, fn(index, tile_at(index)))
        return lax.fori_loop(np.int32(0), (self.count + tile - 1) // tile, add, zeros)

    def _take(self, index: jax.Array, mask: jax.Array) -> dict[str, jax.Array]:
        take = lambda array: array.at[self.start + index].get(mode="clip")
        return {name: take(array) for name, array in self.arrays.items()} | {"mask": mask}


@dataclass(frozen=True)
class Shard:
    """What a client may learn from: its train and validation rows (never its test rows).

    row: its position in the population; num_steps: optimizer steps planned for it. Both traced int32.
    """

    row: Array
    num_steps: Array
    train: Rows
    validation: Rows
