"""A random permutation of [0, count) evaluated elementwise, in constant memory, for a traced count.

A Feistel network over a grid a x b that just covers [0, count), cycle-walked: positions that fall
outside are sent through again until they land inside (Black and Rogaway, "Ciphers with arbitrary finite
domains", 2002). Memory is that of the positions asked for, whatever the count.
"""

import jax
import jax.numpy as jnp
from jax import lax

from pfljax import keys

NUM_ROUNDS = 12  # with 4, the orders of 4 or 5 rows are visibly unequally likely; the cost is not measurable


def permute(key: jax.Array, position: jax.Array, count: jax.Array) -> jax.Array:
    """Where each position goes under the permutation of [0, count) that `key` names.

    position: [...] int32, in [0, count), clamped to it; count: scalar int32, at least 1.

    >>> import numpy as np
    >>> sorted(np.asarray(permute(jax.random.key(0), jnp.arange(7), jnp.int32(7))).tolist())
    [0, 1, 2, 3, 4, 5, 6]
    """
    words = keys.words(key, NUM_ROUNDS)
    count = jnp.asarray(count, jnp.int32).astype(jnp.uint32)
    # Any a covers the domain; near the square root the overhang a * b - count is smallest.
    a = jnp.sqrt(count.astype(jnp.float32)).astype(jnp.uint32) + jnp.uint32(1)
    b = count // a + jnp.uint32(1)

    def walk(carry):
        x, _ = carry
        x = jnp.where(x < count, x, _feistel(words, x, a, b))
        return x, ~jnp.all(x < count)

    position = jnp.clip(position, 0, count.astype(jnp.int32) - 1)  # from outside the walk would never come in
    # Begin outside, at position + domain, so that the network is compiled once, inside the loop.
    walked, _ = lax.while_loop(lambda carry: carry[1], walk, (position.astype(jnp.uint32) + a * b, jnp.bool_(True)))
    return walked.astype(jnp.int32)


def _feistel(words: jax.Array, x: jax.Array, a: jax.Array, b: jax.Array) -> jax.Array:
    left, right = x // b % a, x % b
    for index in range(0, NUM_ROUNDS, 2):
        left = _add_below(left, _below(right, words[index], a), a)
        right = _add_below(right, _below(left, words[index + 1], b), b)
    return left * b + right


def _below(x: jax.Array, word: jax.Array, bound: jax.Array) -> jax.Array:
    """A hash of x in [0, bound), bound < 2**16: the high half of a 16 x 16 bit product."""
    return ((_mix(x ^ word) >> 16) * bound) >> 16


def _add_below(x: jax.Array, y: jax.Array, bound: jax.Array) -> jax.Array:
    total = x + y
    return jnp.where(total >= bound, total - bound, total)


def _mix(x: jax.Array) -> jax.Array:
    """A bijective 32-bit mixer (xor-shift and multiply), every output bit depending on every input bit."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)
