"""One collective for many arrays: a collective for each costs a tiny model twice the round.

On CPUs large arrays go alone, for joining copies them twice, which takes longer there than a collective does to begin.
"""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from pfljax.types import Tree

LARGE = 2**20  # bytes


def joined(fn: Callable[[jax.Array], jax.Array], tree: Tree, num_axes: int) -> Tree:
    """`fn` once for each dtype, on the leaves side by side: the first `num_axes` axes alike, the others as one."""
    leaves, structure = jax.tree.flatten(tree)
    of = partial(_of_leaves, fn, num_axes)
    done = lax.platform_dependent(*leaves, cpu=partial(of, LARGE), default=partial(of, math.inf))
    return jax.tree.unflatten(structure, done)


def _of_leaves(fn: Callable, num_axes: int, most: float, *leaves: jax.Array) -> list:
    """`fn` of every leaf. Those of at least `most` bytes go alone."""
    is_large = [leaf.size * leaf.dtype.itemsize >= most for leaf in leaves]
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
    return done
