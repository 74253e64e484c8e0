"""Uploads that add up: what one client puts into the running sum, and what the server reads from it."""

import jax
import jax.numpy as jnp
from jax import lax

from pfljax.errors import PflError
from pfljax.types import At, Each, Mean, Sum, Tree


def _is_node(x) -> bool:
    return isinstance(x, Mean | Sum | At | Each)


def individuals(upload: Tree) -> tuple[Tree, ...]:
    """The values that do not add up: those of every `Each`, in order."""
    return tuple(part.value for part in jax.tree.leaves(upload, is_leaf=_is_node) if isinstance(part, Each))


def looked_at(upload: Tree) -> Tree:
    """What is finite if the upload is: each `finite_if` in the place of its value."""
    is_sum = lambda x: isinstance(x, Mean | Sum)
    instead = lambda x: x._replace(value=None) if is_sum(x) and x.finite_if is not None else x
    return jax.tree.map(instead, upload, is_leaf=is_sum)


def contribution(upload: Tree, counts: jax.Array) -> Tree:
    """One client's upload as plain addends; zeros where `counts` (scalar bool) is False, whatever the upload holds.

    Mean(value, weight) becomes Mean(weight * value, weight), Sum(value) itself, in float32 or wider: a cohort's sum
    does not fit where one client's value does. At puts its node's addends into its slot of many. Each adds nothing.

    Raises PflError for an Each within an At.
    """
    gate = lambda x: jnp.where(counts, _wide(x), jnp.zeros_like(_wide(x)))

    def node(part):
        if isinstance(part, Each):
            return Each(())
        if isinstance(part, At):
            if individuals(part.node):
                raise PflError("upload: expected Mean and Sum within an At, got an Each; put it beside the At")
            slot = gate(part.slot)
            put = lambda x: slot.reshape(-1, *[1] * x.ndim).astype(x.dtype) * x[None]
            return part._replace(slot=(), node=jax.tree.map(put, contribution(part.node, counts)))
        if isinstance(part, Sum):
            return Sum(jax.tree.map(gate, part.value))
        weigh = lambda x: gate(_wide(x) * part.weight.astype(_wide(x).dtype))
        return Mean(jax.tree.map(weigh, part.value), gate(part.weight))

    return jax.tree.map(node, upload, is_leaf=_is_node)


def finish(total: Tree, like: Tree, each: tuple[Tree, ...] = ()) -> Tree:
    """The summed contributions as values in the dtypes of `like`, an upload: means divided by their weight.

    A mean is 0 where nobody had any weight. `each`: what `individuals` gave, [client, ...].
    """
    values = iter(each)

    def node(part, like):
        if isinstance(part, Each):
            return next(values)
        if isinstance(part, At):
            # Not vmap: XLA divides by a vector of weights as by their reciprocals, but not in every program.
            return lax.map(lambda part: finish(part, like.node), part.node)
        if isinstance(part, Sum):
            return jax.tree.map(_as, part.value, like.value)
        weight = jnp.where(part.weight > 0, part.weight, jnp.ones_like(part.weight))
        return jax.tree.map(lambda x, like: _as(x / weight.astype(x.dtype), like), part.value, like.value)

    return jax.tree.map(node, total, like, is_leaf=_is_node)


def _wide(x: jax.Array) -> jax.Array:
    return x if x.dtype == jnp.float64 else x.astype(jnp.float32)


def _as(x: jax.Array, like) -> jax.Array:
    """x in the dtype of `like`; integers are rounded."""
    return (jnp.round(x) if jnp.issubdtype(like.dtype, jnp.integer) else x).astype(like.dtype)
