"""How addends become a sum: in floating point, fast, or in integers, the same bits in whatever order.

A reduction is four pure functions. Addends are lifted one client at a time; lifted ones are added leaf by leaf with
`+`, over lanes, chunks and devices, in any order; `settle` may tidy a running sum up; `read` gives numbers again.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from pfljax.types import Tree

Kind = Literal["fast", "ordered"]

FRACTION = 30  # bits after the point: addends are rounded to 2**-30, about 1e-9
LOW = 22  # bits of the low word; 2**(31 - LOW) = 512 devices can add up settled low words before one overflows
LIMIT = 2.0 ** (31 + LOW - FRACTION)  # a sum of absolute values from here on does not fit: 8,388,608


class Reduction(NamedTuple):
    """lift: addend -> summand; settle: summand -> summand; read: summand -> addend."""

    lift: Callable[[Tree], Any]
    settle: Callable[[Any], Any]
    read: Callable[[Any], Tree]


class Fixed(NamedTuple):
    """A tree of numbers in fixed point: high * 2**LOW + low, in units of 2**-FRACTION.

    bound: scalar, at least the largest absolute value; an integer, so that its sums too are the same in any order
    """

    high: Tree
    low: Tree
    bound: jax.Array


def reduction(kind: Kind) -> Reduction:
    """ "fast" adds floats: its last bits depend on the layout. "ordered" adds integers: no bit does.

    Ordered sums take twice the memory. Where the cohort's absolute values might add up to `LIMIT`, they are NaN, which
    stops a run as any update that is not finite does.
    """
    return Reduction(*[lambda tree: tree] * 3) if kind == "fast" else Reduction(_to_fixed, _carried, _to_numbers)


def _to_fixed(tree: Tree) -> Fixed:
    leaves = jax.tree.leaves(tree)
    largest = jnp.stack([jnp.max(jnp.abs(leaf), initial=0).astype(jnp.float32) for leaf in leaves] or [jnp.zeros(())])
    # Beyond the limit, an integer that no float32 rounds: all sums below LIMIT are then exact.
    bound = jnp.minimum(jnp.ceil(largest.max()), LIMIT)
    high = lambda x: jnp.round(x * 2.0 ** (FRACTION - LOW))
    rest = lambda x: jnp.round((x * 2.0 ** (FRACTION - LOW) - high(x)) * 2.0**LOW)
    integer = lambda fn: jax.tree.map(lambda x: fn(_held(x)).astype(jnp.int32), tree)
    return Fixed(integer(high), integer(rest), jnp.where(jnp.isnan(largest).any(), LIMIT, bound))


def _held(x: jax.Array) -> jax.Array:
    """Numbers that int32 words can hold; `bound` tells that something was cut."""
    return jnp.clip(jnp.where(jnp.isnan(x), 0, x), 1 - LIMIT, LIMIT - 1)


def _carried(fixed: Fixed) -> Fixed:
    """The same numbers with low words from 0 to 2**LOW - 1."""
    high = jax.tree.map(lambda high, low: high + (low >> LOW), fixed.high, fixed.low)
    return Fixed(high, jax.tree.map(lambda low: low & (2**LOW - 1), fixed.low), fixed.bound)


def _to_numbers(fixed: Fixed) -> Tree:
    high, low, bound = _carried(fixed)

    def number(high, low):
        high, low = (word.astype(jnp.result_type(float)) for word in (high, low))
        value = high * 2.0 ** (LOW - FRACTION) + low * 2.0**-FRACTION
        return jnp.where(bound < LIMIT, value, jnp.nan)

    return jax.tree.map(number, high, low)
