"""The only place where randomness is derived.

Device keys hang on who a client is and in which round, never on its slot, device or chunk, so a result does
not depend on the layout. Host generators (who trains when) hang on the seed, a stream's name and the round.
"""

import zlib
from typing import NamedTuple

import jax
import numpy as np

from pfljax.errors import PflError


class Seeds(NamedTuple):
    """Three independent seeds: which clients are unseen, who is sampled, how models start and batches fall."""

    split: int = 0
    sampling: int = 0
    model: int = 0


def seeds(seed: "int | Seeds") -> Seeds:
    """One integer stands for the same seed three times. Raises PflError for a negative one."""
    made = seed if isinstance(seed, Seeds) else Seeds(seed, seed, seed)
    if any(not isinstance(part, int | np.integer) or not 0 <= part < 2**32 for part in made):
        raise PflError(f"seed: expected whole numbers from 0 to 4294967295, got {seed!r}")
    return made


def root(seed: int) -> jax.Array:
    return jax.random.key(seed)


def use(key: jax.Array, name: str) -> jax.Array:
    """The key for one named use, e.g. use(key, "batch"). Different names give independent keys."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def client(key: jax.Array, participation: jax.Array | int, row: jax.Array | np.ndarray | int) -> jax.Array:
    """The key of one client (by population row) in one round."""
    return jax.random.fold_in(jax.random.fold_in(key, participation), row)


def at(key: jax.Array, index: jax.Array | np.ndarray | int) -> jax.Array:
    """The key of one step, epoch or round."""
    return jax.random.fold_in(key, index)


def words(key: jax.Array, num: int) -> jax.Array:
    """[num] uint32: raw random words."""
    return jax.random.bits(key, (num,), "uint32")


def host(seed: int, name: str, index: int = 0) -> np.random.Generator:
    """A numpy generator for one named use on the host."""
    return np.random.default_rng([seed, zlib.crc32(name.encode()), index])
