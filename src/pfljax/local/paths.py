"""Parts of a parameter tree, chosen by path pattern."""

import fnmatch

import jax
import jax.numpy as jnp
import optax

from pfljax.errors import PflError
from pfljax.types import Tree, Vars


def path_of(path: tuple) -> str:
    """A leaf's name: its keys joined by slashes, e.g. `body/0/kernel`."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def mask(params: Tree, pattern: str) -> Tree:
    """A tree of Python bools: which leaves have a path that matches the shell pattern, e.g. "head/*".

    A pattern that begins with "!" chooses the leaves that the rest does not match. Raises PflError if none is chosen.

    >>> mask({"body": {"w": 0}, "head": {"w": 0}}, "head/*")
    {'body': {'w': False}, 'head': {'w': True}}
    """
    chosen = _matches(params, pattern)
    if not any(jax.tree.leaves(chosen)):
        raise PflError(f"pattern {pattern!r}: expected it to match a parameter, got none of {_names(params)}")
    return chosen


def split(tree: Vars, pattern: str) -> tuple[Vars, Vars]:
    """(the leaves that match, the others), each with None in the places of the other; `join` undoes it.

    Batch statistics are chosen by the same pattern as parameters, by their own paths. "*" takes all and "!*" none;
    PflError for any other pattern that matches all parameters or none.

    >>> split(Vars({"body": 1, "head": 2}), "head")
    (Vars(params={'body': None, 'head': 2}, stats=()), Vars(params={'body': 1, 'head': None}, stats=()))
    """
    flags = jax.tree.leaves(_matches(tree.params, pattern))
    if pattern not in ("*", "!*") and (all(flags) or not any(flags)):
        got = "all of" if all(flags) else "none of"
        raise PflError(
            f"pattern {pattern!r}: expected it to match some parameters, got {got} {_names(tree.params)}; "
            "for all of them write '*', for none '!*'"
        )
    take = lambda flag: jax.tree.map(lambda x, chosen: x if chosen == flag else None, tree, _matches(tree, pattern))
    return take(True), take(False)


def join(some: Tree, rest: Tree) -> Tree:
    """One tree of two that have None in each other's places; where both have a leaf, that of `some`."""
    return jax.tree.map(lambda a, b: b if a is None else a, some, rest, is_leaf=lambda x: x is None)


def other(pattern: str) -> str:
    """The pattern of the leaves that `pattern` does not match."""
    return pattern.removeprefix("!") if pattern.startswith("!") else f"!{pattern}"


def _matches(tree: Tree, pattern: str) -> Tree:
    if isinstance(tree, Vars):
        return Vars(_matches(tree.params, pattern), _matches(tree.stats, pattern))
    is_rest, shell = pattern.startswith("!"), pattern.removeprefix("!")
    fits = lambda path: fnmatch.fnmatchcase(path_of(path), shell) != is_rest
    return jax.tree_util.tree_map_with_path(lambda path, _: fits(path), tree)


def _names(tree: Tree) -> str:
    return ", ".join(path_of(path) for path, _ in jax.tree_util.tree_flatten_with_path(tree)[0])


def keep(tree: Tree, pattern: str | None) -> Tree:
    """The tree with zeros at the leaves that do not match; None keeps all."""
    if pattern is None:
        return tree
    return jax.tree.map(lambda x, kept: x if kept else jnp.zeros_like(x), tree, mask(tree, pattern))


def subset(optimizer: optax.GradientTransformation, pattern: str | None) -> optax.GradientTransformation:
    """The optimizer on the leaves that match; the others stay exactly where they are. None is all leaves.

    Raises PflError if none matches, but for "!*". A subset within another one is not checked: it sees a part only.
    """
    if pattern is None:
        return optimizer

    def labels(params):
        is_masked = lambda x: isinstance(x, optax.MaskedNode)
        is_part = any(map(is_masked, jax.tree.leaves(params, is_leaf=is_masked)))
        chosen = _matches(params, pattern) if is_part or pattern == "!*" else mask(params, pattern)
        return jax.tree.map(lambda kept: "move" if kept else "stay", chosen)

    return optax.partition({"move": optimizer, "stay": optax.set_to_zero()}, labels)
