"""One collective for many arrays: a collective for each costs a tiny model twice the round."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from pfljax.types import Tree


def joined(fn: Callable[[jax.Array], jax.Array], tree: Tree, num_axes: int) -> Tree:
    """`fn` once for each dtype, on the leaves side by side: the first `num_axes` axes alike, the others as one."""
    leaves, structure = jax.tree.flatten(tree)
    done: list = [None] * len(leaves)
    for dtype in sorted({leaf.dtype for leaf in leaves}, key=str):
        indices = [index for index, leaf in enumerate(leaves) if leaf.dtype == dtype]
        flat = [leaves[index].reshape(*leaves[index].shape[:num_axes], -1) for index in indices]
        result, begin = fn(jnp.concatenate(flat, axis=-1)), 0
        for index in indices:
            size = math.prod(leaves[index].shape[num_axes:])
            done[index] = result[..., begin : begin + size].reshape(leaves[index].shape)
            begin += size
    return jax.tree.unflatten(structure, done)
