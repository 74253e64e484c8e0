"""The described models in plain JAX, for contestants that bring none. Runs on old and new versions of it."""

import jax
import jax.numpy as jnp
import numpy as np


def logits(model: dict, params: dict, x: jax.Array, conv=None) -> jax.Array:
    """x: [batch, ...] -> [batch, class]. conv: (x, kernel) -> valid convolution; default `patches`."""
    x = x.astype(jnp.float32) / 255 if x.dtype == jnp.uint8 else x
    dense = lambda name, x: x @ params[f"{name}/kernel"] + params[f"{name}/bias"]
    if model["kind"] == "mlp":
        x = x.reshape(x.shape[0], -1)
        for index in range(len(model["sizes"]) - 2):
            x = jax.nn.relu(dense(f"body/{index}", x))
        return dense("head", x)
    x = x.reshape(x.shape[0], *model["shape"])
    for name in ("conv/0", "conv/1"):
        x = jax.nn.relu((conv or patches)(x, params[f"{name}/kernel"]) + params[f"{name}/bias"])
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4))
    return dense("head", jax.nn.relu(dense("dense", x.reshape(batch, -1))))


def as_float(x: np.ndarray) -> np.ndarray:
    """Inputs converted beforehand, for those who would otherwise do it batch by batch on the host."""
    return x.astype(np.float32) / 255 if x.dtype == np.uint8 else x


def patches(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """A valid convolution as slices and one matmul: inside loops on CPUs some fifty times faster than lax's."""
    high, wide, _, features = kernel.shape
    height, width = x.shape[1] - high + 1, x.shape[2] - wide + 1
    slices = [x[:, i : i + height, j : j + width] for i in range(high) for j in range(wide)]
    return jnp.concatenate(slices, axis=-1) @ kernel.reshape(-1, features)


def lax_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def losses(model: dict, params: dict, x: jax.Array, y: jax.Array, conv=None) -> jax.Array:
    """[batch]: softmax cross-entropy of each example."""
    scores = jax.nn.log_softmax(logits(model, params, x, conv))
    return -jnp.take_along_axis(scores, y.astype(jnp.int32)[:, None], axis=1)[:, 0]


def mean_loss(model: dict, params: dict, x, y, mask=None, conv=None) -> jax.Array:
    """The mean over the batch, or over what `mask` [batch] leaves of it (0 where that is nothing)."""
    each = losses(model, params, x, y, conv)
    if mask is None:
        return each.mean()
    return jnp.where(mask, each, 0).sum() / jnp.maximum(mask.sum(), 1)
