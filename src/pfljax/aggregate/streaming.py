"""Uploads that add up: what one client puts into the running sum, and what the server reads from it."""

import jax
import jax.numpy as jnp

from pfljax.types import Mean, Sum, Tree


def _is_node(x) -> bool:
    return isinstance(x, Mean | Sum)


def contribution(upload: Tree, counts: jax.Array) -> Tree:
    """One client's upload as plain addends; zeros where `counts` (scalar bool) is False, whatever the upload holds.

    Mean(value, weight) becomes Mean(weight * value, weight), Sum(value) itself.
    """
    gate = lambda x: jnp.where(counts, x, jnp.zeros_like(x))

    def node(part):
        if isinstance(part, Sum):
            return Sum(jax.tree.map(gate, part.value))
        weigh = lambda x: gate(x * part.weight.astype(x.dtype))
        return Mean(jax.tree.map(weigh, part.value), gate(part.weight))

    return jax.tree.map(node, upload, is_leaf=_is_node)


def finish(total: Tree) -> Tree:
    """The summed contributions as values: means divided by their weight (0 where nobody had any)."""

    def node(part):
        if isinstance(part, Sum):
            return part.value
        weight = jnp.where(part.weight > 0, part.weight, jnp.ones_like(part.weight))
        return jax.tree.map(lambda x: x / weight.astype(x.dtype), part.value)

    return jax.tree.map(node, total, is_leaf=_is_node)
