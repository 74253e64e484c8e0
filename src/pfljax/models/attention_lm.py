"""A small language model with attention: at every position, the next symbol from all before it."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from pfljax.data.population import Population
from pfljax.errors import PflError, whole
from pfljax.models import losses
from pfljax.models.adapters import from_nnx
from pfljax.types import Batch, Model, Weighted


class Block(nnx.Module):
    """Causal self-attention and a relu layer, each on normed inputs and added to its input."""

    def __init__(self, features: int, heads: int, hidden: int, rngs: nnx.Rngs):
        self.norm_attention = nnx.LayerNorm(features, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(heads, features, attention_fn=_attend, decode=False, rngs=rngs)
        self.norm_dense = nnx.LayerNorm(features, rngs=rngs)
        self.up = nnx.Linear(features, hidden, rngs=rngs)
        self.down = nnx.Linear(hidden, features, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        past = nnx.make_causal_mask(x[..., 0], dtype=jnp.bool)
        x = x + self.attention(self.norm_attention(x), mask=past)
        return x + self.down(jax.nn.relu(self.up(self.norm_dense(x))))


class AttentionLm(nnx.Module):
    """embed + positions -> body -> norm -> head: [example, time] -> logits [example, time, symbol]."""

    def __init__(self, num_symbols: int, time: int, features: int, heads: int, hidden: int, rngs: nnx.Rngs):
        self.embed = nnx.Embed(num_symbols, features, rngs=rngs)
        self.positions = nnx.Param(nnx.initializers.normal(0.02)(rngs.params(), (time, features)))
        self.body = Block(features, heads, hidden, rngs)
        self.norm = nnx.LayerNorm(features, rngs=rngs)
        self.head = nnx.Linear(features, num_symbols, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        positions = self.positions[...]
        x = self.embed(x.astype(jnp.int32)).astype(positions.dtype) + positions[None]
        return self.head(self.norm(self.body(x)))


def attention_lm(population: Population, features: int = 64, heads: int = 4, hidden: int = 128) -> Model:
    """Predicts `y: [example, time]` from `x: [example, time]`, both symbols below about.num_classes; y[t] follows x[t].

    An example's loss and metrics are means over its positions, all of which count. Parameters: `embed`, `positions`,
    `body/...`, `norm`, `head`.

    Raises PflError if the population does not hold such sequences, or if `heads` does not divide `features`.
    """
    for name, value in {"features": features, "heads": heads, "hidden": hidden}.items():
        whole(name, value)
    if features % heads:
        raise PflError(f"heads: expected a divisor of features={features}, got {heads}")
    num_symbols, time = population.about.num_classes, _check(population)
    return from_nnx(
        lambda rngs: AttentionLm(num_symbols, time, features, heads, hidden, rngs),
        _nats,
        {"accuracy": losses.averaged(_hits, better="higher"), "bits": losses.averaged(_nats, scale=1 / math.log(2))},
    )


def _attend(query: jax.Array, key: jax.Array, value: jax.Array, mask: jax.Array, **_) -> jax.Array:
    """Attention without dropout. query, key, value: [example, time, head, feature]; mask: [example, 1, time, time].

    `jax.nn.dot_product_attention` has no gradient in bfloat16 under strict promotion.
    """
    scores = jnp.einsum("bqhd,bkhd->bhqk", query * query.shape[-1] ** -0.5, key)
    shares = jax.nn.softmax(scores.astype(jnp.float32), where=mask)
    return jnp.einsum("bhqk,bkhd->bqhd", shares.astype(value.dtype), value)


def _nats(outputs: jax.Array, batch: Batch) -> Weighted:
    value = optax.losses.softmax_cross_entropy_with_integer_labels(outputs, batch["y"].astype(jnp.int32))
    return Weighted(value.mean(axis=-1), losses.ones(batch))


def _hits(outputs: jax.Array, batch: Batch) -> Weighted:
    hit = jnp.argmax(outputs, axis=-1).astype(jnp.int32) == batch["y"].astype(jnp.int32)
    return Weighted(hit.astype(jnp.float32).mean(axis=-1), losses.ones(batch))


def _check(population: Population) -> int:
    """The number of positions of the population's sequences of symbols."""
    arrays, num_symbols = population.arrays, population.about.num_classes
    sequences = {name: arrays[name] for name in ("x", "y") if name in arrays}
    shapes = {array.shape for array in sequences.values()}
    is_integer = all(array.dtype.kind in "iu" and array.ndim == 2 and array.size for array in sequences.values())
    if len(sequences) < 2 or len(shapes) > 1 or not is_integer or num_symbols < 2:
        got = ", ".join(f"{name}: {array.dtype}{list(array.shape)}" for name, array in sequences.items())
        raise PflError(
            f"attention_lm: expected integers x and y [example, time] and num_classes >= 2, got {got or 'neither'}, "
            f"num_classes={num_symbols}; for one target an example use char_lm"
        )
    for name, array in sequences.items():
        wrong = (array < 0) | (array >= num_symbols)
        if wrong.any():
            row, position = np.argwhere(wrong)[0].tolist()
            client = population.ids[int(np.searchsorted(population.offsets, row, side="right")) - 1]
            raise PflError(
                f"client {client!r}: expected symbols from 0 to {num_symbols - 1} in {name!r}, "
                f"got {array[row, position]}; recode them, or raise about.num_classes"
            )
    return sequences["x"].shape[1]
