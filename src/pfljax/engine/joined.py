"""One collective for many arrays: a collective for each costs a tiny model twice the round.

Large arrays go alone, for joining copies them twice, which takes longer than a collective does to begin.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from pfljax.types import Tree

LARGE = 2**20  # bytes


def joined(fn: Callable[[jax.Array], jax.Array], tree: Tree, num_axes: int) -> Tree:
    """`fn` of each large leaf, and once for each dtype of the rest, side by side: the first `num_axes` axes alike, the
    others as one.
    """
    leaves, structure = jax.tree.flatten(tree)
    is_large = [leaf.size * leaf.dtype.itemsize >= LARGE for leaf in leaves]
    done: list = [fn(leaf) if alone else None for leaf, alone in zip(leaves, is_large, strict=True)]
    small = [index for index, alone in enumerate(is_large) if not alone]
    for dtype in sorted({leaves[index].dtype for index in small}, key=str):
        indices = [index for index in small if leaves[index].dtype == dtype]
        flat = [leaves[index].reshape(*leaves[index].shape[:num_axes], -1) for index in indices]
        result, begin = fn(jnp.concatenate(flat, axis=-1)), 0
        for index in indices:
            size = math.prod(leaves[index].shape[num_axes:])
            done[index] = result[..., begin : begin + size].reshape(leaves[index].shape)
            begin += size
    return jax.tree.unflatten(structure, done)
