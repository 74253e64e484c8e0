"""Runs of a sweep side by side: trees with a leading [run] axis, at no cost where there is one run."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from pfljax.types import Tree


def stack(leaves: tuple[jax.Array, ...]) -> jax.Array | np.ndarray:
    """[run, ...] of one leaf from each run, in memory of its own; on the host, where stacking compiles nothing."""
    if jnp.issubdtype(leaves[0].dtype, jax.dtypes.prng_key):
        return jnp.stack(leaves)
    return np.stack([np.asarray(leaf) for leaf in leaves])


def pick(tree: Tree, run: jax.Array | int) -> Tree:
    """One run's part of `[run, ...]`."""
    return jax.tree.map(lambda leaf: leaf[0] if leaf.shape[0] == 1 else leaf[run], tree)


def add_lanes(total: Tree, new: Tree, run: jax.Array) -> Tree:
    """`total`: [run, ...] with each lane's numbers added to its run's. new: [lane, ...]; run: [lane] int32."""

    def add(total, new):
        if total.shape[0] == 1:
            return total + (new if new.shape[0] == 1 else new.sum(axis=0, keepdims=True, dtype=new.dtype))
        return total.at[run].add(new)

    return jax.tree.map(add, total, new)


def zeros(shapes: Tree, num_runs: int) -> Tree:
    return jax.tree.map(lambda s: jnp.zeros((num_runs, *s.shape), s.dtype), shapes)


def each_lane(fn: Callable, width: int) -> Callable:
    """`fn` of one lane, for a chunk's."""
    if width > 1:
        return jax.vmap(fn)
    # A batch of one would turn a dynamic step count into a masked loop.
    return lambda *lanes: jax.tree.map(lambda leaf: leaf[None], fn(*jax.tree.map(lambda leaf: leaf[0], lanes)))


def each_run(fn: Callable, num_runs: int) -> Callable:
    """`fn` of one run, for all of them: every argument and result gets a leading [run] axis."""
    if num_runs > 1:
        return jax.vmap(fn)
    inner = lambda tree: jax.tree.map(lambda leaf: leaf[0], tree)
    return lambda *trees: jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], fn(*map(inner, trees)))
