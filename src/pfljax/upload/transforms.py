"""Pure functions on what leaves a client: (key, value) -> value, of the same type. They chain.

They see the value of every `Mean` before its weight; what is sent as a `Sum` (counts, losses) or an
`Each` passes as it is.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from pfljax import keys
from pfljax.errors import PflError
from pfljax.types import At, Each, Key, Mean, Sum, Tree

Transform = Callable[[Key, Tree], Tree]


def clip(norm: float) -> Transform:
    """Scales a value down to an L2 norm of at most `norm`, over all its leaves, statistics included.

    What leaves the client is what is bounded. Raises PflError unless norm is positive.

    >>> clip(1.0)(jax.random.key(0), {"w": jnp.array([3.0, 4.0])})["w"].tolist()
    [0.6000000238418579, 0.800000011920929]
    """
    if not norm > 0:
        raise PflError(f"norm: expected a positive number, got {norm}")

    def apply(key, value):
        length = optax.tree.norm(value)
        scale = jnp.where(length > norm, norm / jnp.where(length > norm, length, 1), 1)
        return jax.tree.map(lambda leaf: leaf * scale.astype(leaf.dtype), value)

    return apply


def chain(*transforms: Transform) -> Transform:
    """One after another, each under a key of its own."""

    def apply(key, value):
        for index, transform in enumerate(transforms):
            value = transform(keys.at(key, index), value)
        return value

    return apply


def applied(transform: Transform | None, key: Key, upload: Tree) -> Tree:
    """The upload with `transform` on the value of each `Mean`, those within an `At` included."""
    if transform is None:
        return upload
    is_node = lambda x: isinstance(x, Mean | Sum | At | Each)
    nodes, structure = jax.tree.flatten(upload, is_leaf=is_node)

    def change(key, node):
        if isinstance(node, At):
            return node._replace(node=applied(transform, key, node.node))
        return Mean(transform(key, node.value), node.weight) if isinstance(node, Mean) else node

    return jax.tree.unflatten(structure, [change(keys.at(key, index), node) for index, node in enumerate(nodes)])
