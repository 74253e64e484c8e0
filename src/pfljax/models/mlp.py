"""A multilayer perceptron for feature vectors and small images."""

from collections.abc import Sequence
from itertools import pairwise

import jax
import jax.numpy as jnp
from flax import nnx

from pfljax.data.population import Population
from pfljax.models import losses
from pfljax.models.adapters import from_nnx
from pfljax.models.labels import check_labels
from pfljax.types import Model


class Mlp(nnx.Module):
    """body: hidden layers with `activation`; head: the linear output layer."""

    def __init__(self, sizes: Sequence[int], activation, rngs: nnx.Rngs):
        self.body = nnx.List([nnx.Linear(a, b, rngs=rngs) for a, b in pairwise(sizes[:-1])])
        self.head = nnx.Linear(sizes[-2], sizes[-1], rngs=rngs)
        self.activation = activation

    def features(self, x: jax.Array) -> jax.Array:
        x = x.reshape(x.shape[0], -1).astype(self.head.kernel[...].dtype)
        for layer in self.body:
            x = self.activation(layer(x))
        return x

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.head(self.features(x))


def mlp(population: Population, hidden: Sequence[int] = (128,), activation=jax.nn.relu) -> Model:
    """A classifier of `x: [example, ...]` into the population's classes `y: [example]`.

    uint8 inputs are scaled to [0, 1]. Parameters: `body/0`, `body/1`, ... and `head`.

    Raises PflError if the population has no `x` and `y` or does not say how many classes it has.
    """
    check_labels(population, "mlp")
    x = population.arrays["x"]
    scale = 1 / 255 if x.dtype == "uint8" else 1.0
    sizes = (int(x[0].size), *hidden, population.about.num_classes)
    return from_nnx(
        lambda rngs: Mlp(sizes, activation, rngs),
        losses.cross_entropy(),
        {"accuracy": losses.accuracy(), "loss": losses.averaged(losses.cross_entropy())},
        inputs=lambda batch: (batch["x"].astype(jnp.float32) * scale,),
        features=(sizes[-2], sizes[-1]),
    )
