"""Parts of a parameter tree, chosen by path pattern."""

import fnmatch

import jax
import jax.numpy as jnp
import optax

from pfljax.errors import PflError
from pfljax.types import Tree


def path_of(path: tuple) -> str:
    """A leaf's name: its keys joined by slashes, e.g. `body/0/kernel`."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def mask(params: Tree, pattern: str) -> Tree:
    """A tree of Python bools: which leaves have a path that matches the shell pattern, e.g. "head/*".

    Raises PflError if none does.

    >>> mask({"body": {"w": 0}, "head": {"w": 0}}, "head/*")
    {'body': {'w': False}, 'head': {'w': True}}
    """
    chosen = jax.tree_util.tree_map_with_path(lambda path, _: fnmatch.fnmatchcase(path_of(path), pattern), params)
    if not any(jax.tree.leaves(chosen)):
        names = [path_of(path) for path, _ in jax.tree_util.tree_flatten_with_path(params)[0]]
        raise PflError(f"pattern {pattern!r}: expected it to match a parameter, got none of {', '.join(names)}")
    return chosen


def keep(tree: Tree, pattern: str | None) -> Tree:
    """The tree with zeros at the leaves that do not match; None keeps all."""
    if pattern is None:
        return tree
    return jax.tree.map(lambda x, kept: x if kept else jnp.zeros_like(x), tree, mask(tree, pattern))


def subset(optimizer: optax.GradientTransformation, pattern: str | None) -> optax.GradientTransformation:
    """The optimizer on the leaves that match; the others stay exactly where they are. None is all leaves."""
    if pattern is None:
        return optimizer
    labels = lambda params: jax.tree.map(lambda kept: "move" if kept else "stay", mask(params, pattern))
    return optax.partition({"move": optimizer, "stay": optax.set_to_zero()}, labels)
