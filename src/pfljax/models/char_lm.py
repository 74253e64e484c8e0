"""A small language model: the next character from the few before it."""

import math

import jax
import jax.numpy as jnp
from flax import nnx

from pfljax.data.embedded import OTHER  # stands for all rare characters: nobody types it, so it is not scored
from pfljax.data.population import Population
from pfljax.errors import PflError
from pfljax.models import losses
from pfljax.models.adapters import from_nnx
from pfljax.models.labels import check_labels
from pfljax.types import Model


class CharLm(nnx.Module):
    """Embedded context -> tanh layer (`body`) -> logits (`head`). After Bengio et al., JMLR 2003, eq. (1)."""

    def __init__(self, num_symbols: int, context: int, features: int, hidden: int, rngs: nnx.Rngs):
        self.embed = nnx.Embed(num_symbols, features, rngs=rngs)
        self.body = nnx.Linear(context * features, hidden, rngs=rngs)
        self.head = nnx.Linear(hidden, num_symbols, rngs=rngs)

    def features(self, x: jax.Array) -> jax.Array:
        embedded = self.embed(x.astype(jnp.int32)).reshape(x.shape[0], -1)
        return jnp.tanh(self.body(embedded.astype(self.head.kernel[...].dtype)))

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.head(self.features(x))


def char_lm(population: Population, features: int = 16, hidden: int = 64) -> Model:
    """Predicts `y: [example]` from `x: [example, context]`, both symbol numbers below about.num_classes.

    Targets that are the symbol `OTHER` carry no loss and no metric. Parameters: `embed`, `body`, `head`.

    Raises PflError if the population does not hold contexts of symbols.
    """
    x, num_symbols = population.arrays.get("x"), population.about.num_classes
    check_labels(population, "char_lm")
    if x is None or x.ndim != 2 or x.dtype.kind not in "iu" or num_symbols < 2:
        got = "no 'x'" if x is None else f"x: {x.dtype}{list(x.shape)}, num_classes={num_symbols}"
        raise PflError(f"char_lm: expected integer x [example, context] and num_classes >= 2, got {got}; use mlp")
    scored = lambda batch: (batch["y"] != OTHER).astype(jnp.float32)
    nats = losses.cross_entropy(scored)
    return from_nnx(
        lambda rngs: CharLm(num_symbols, x.shape[1], features, hidden, rngs),
        nats,
        {"accuracy": losses.accuracy(scored), "bits": losses.averaged(nats, scale=1 / math.log(2))},
        features=(hidden, num_symbols),
    )
