"""A small convolutional network for images."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from flax import nnx

from pfljax.data.population import Population
from pfljax.errors import PflError, whole
from pfljax.models import layers, losses
from pfljax.models.adapters import from_nnx
from pfljax.models.labels import check_labels
from pfljax.types import Model

Padding = Literal["VALID", "SAME"]
KERNEL, POOL = 3, 2


class Cnn(nnx.Module):
    """body: 3x3 convolutions, a 2x2 max pool and one dense layer, with relus; head: the linear output layer."""

    def __init__(self, channels, sizes, padding: Padding, dropout: tuple[float, float], rngs: nnx.Rngs):
        init, size = nnx.initializers.glorot_uniform(), (KERNEL, KERNEL)
        convolution = partial(nnx.Conv, conv_general_dilated=layers.conv_general_dilated, padding=padding)
        convolutions = [convolution(a, b, size, kernel_init=init, rngs=rngs) for a, b in pairwise(channels)]
        features, hidden, num_classes = sizes
        self.body = nnx.List([*convolutions, nnx.Linear(features, hidden, kernel_init=init, rngs=rngs)])
        self.head = nnx.Linear(hidden, num_classes, kernel_init=init, rngs=rngs)
        self.drop = nnx.List([nnx.Dropout(rate, rngs=rngs) for rate in dropout])

    def features(self, x: jax.Array) -> jax.Array:
        *convolutions, dense = self.body
        x = x.astype(self.head.kernel[...].dtype)
        for convolution in convolutions:
            x = jax.nn.relu(convolution(x))
        x = self.drop[0](layers.max_pool(x, (POOL, POOL)))
        return self.drop[1](jax.nn.relu(dense(x.reshape(x.shape[0], -1))))

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.head(self.features(x))


def cnn(
    population: Population,
    channels: Sequence[int] = (32, 64),
    hidden: int = 128,
    padding: Padding = "VALID",
    dropout: tuple[float, float] = (0.0, 0.0),
) -> Model:
    """A classifier of images `x: [example, height, width]` or `[example, height, width, channel]` into `y: [example]`.

    uint8 inputs are scaled to [0, 1]. `dropout`: the shares of activations dropped after the pool and before the head.
    Parameters: `body/0`, `body/1`, ... (convolutions, then the dense layer) and `head`. Convolutions are matmuls
    (see `layers`).

    Raises PflError if the population does not hold images that are large enough, and classes.
    """
    check_labels(population, "cnn")
    x = population.arrays["x"]
    if x.ndim not in (3, 4):
        got = f"x: {x.dtype}{list(x.shape)}"
        raise PflError(f"cnn: expected x [example, height, width] or with channels behind, got {got}; use mlp")
    if padding not in get_args(Padding):
        raise PflError(f"padding: expected one of {', '.join(get_args(Padding))}, got {padding!r}")
    if not channels:
        raise PflError("channels: expected at least one convolution, got none; use mlp")
    if len(dropout) != 2 or not all(0 <= rate < 1 for rate in dropout):
        raise PflError(f"dropout: expected two shares from 0 to below 1, got {dropout}")
    widths = [whole("channels", number) for number in channels]
    lost = (KERNEL - 1) * len(widths) if padding == "VALID" else 0
    height, width = ((side - lost) // POOL for side in x.shape[1:3])
    if min(height, width) < 1:
        raise PflError(
            f"cnn: expected images of at least {lost + POOL}x{lost + POOL}, got {x.shape[1]}x{x.shape[2]}; "
            "use padding='SAME', fewer channels, or mlp"
        )
    image = (*x.shape[1:], 1)[:3]
    scale = 1 / 255 if x.dtype == "uint8" else 1.0
    sizes = (widths[-1] * height * width, whole("hidden", hidden), population.about.num_classes)
    return from_nnx(
        lambda rngs: Cnn((image[2], *widths), sizes, padding, dropout, rngs),
        losses.cross_entropy(),
        {"accuracy": losses.accuracy(), "loss": losses.averaged(losses.cross_entropy())},
        inputs=lambda batch: (batch["x"].reshape(-1, *image).astype(jnp.float32) * scale,),
        features=sizes[1:],
    )
