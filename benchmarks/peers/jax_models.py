"""The described models in plain JAX, for contestants that bring none. Runs on old and new versions of it."""

import jax
import jax.numpy as jnp
import numpy as np


def logits(model: dict, params: dict, x: jax.Array, conv=None) -> jax.Array:
    """x: [batch, ...] -> [batch, class] or [batch, time, class]. `conv` replaces `patches`."""
    x = x.astype(jnp.float32) / 255 if x.dtype == jnp.uint8 else x
    dense = lambda name, x: x @ params[f"{name}/kernel"] + params[f"{name}/bias"]
    if model["kind"] == "attention":
        return dense("head", _norm(params, "norm", _block(model, params, dense, x)))
    if model["kind"] == "mlp":
        x = x.reshape(x.shape[0], -1)
        for index in range(len(model["sizes"]) - 2):
            x = jax.nn.relu(dense(f"body/{index}", x))
        return dense("head", x)
    x = x.reshape(x.shape[0], *model["shape"])
    for name in ("body/0", "body/1"):
        x = jax.nn.relu((conv or patches)(x, params[f"{name}/kernel"]) + params[f"{name}/bias"])
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4))
    return dense("head", jax.nn.relu(dense("body/2", x.reshape(batch, -1))))


def _block(model: dict, params: dict, dense, x: jax.Array) -> jax.Array:
    x = params["embed/embedding"][x] + params["positions"]
    normed, time = _norm(params, "body/norm_attention", x), model["time"]
    into = lambda name: (
        jnp.einsum("btf,fhd->bthd", normed, params[f"body/attention/{name}/kernel"])
        + params[f"body/attention/{name}/bias"]
    )
    query, key, value = into("query"), into("key"), into("value")
    scores = jnp.einsum("bqhd,bkhd->bhqk", query, key) * query.shape[-1] ** -0.5
    shares = jax.nn.softmax(jnp.where(jnp.tril(jnp.ones((time, time), bool)), scores, -jnp.inf))
    mixed = jnp.einsum("bhqk,bkhd->bqhd", shares, value)
    x += jnp.einsum("bqhd,hdf->bqf", mixed, params["body/attention/out/kernel"]) + params["body/attention/out/bias"]
    return x + dense("body/down", jax.nn.relu(dense("body/up", _norm(params, "body/norm_dense", x))))


def _norm(params: dict, name: str, x: jax.Array) -> jax.Array:
    x = (x - x.mean(axis=-1, keepdims=True)) * jax.lax.rsqrt(x.var(axis=-1, keepdims=True) + 1e-6)
    return x * params[f"{name}/scale"] + params[f"{name}/bias"]


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
    """[batch]: softmax cross-entropy of each example, a mean over time where there is time."""
    scores = jax.nn.log_softmax(logits(model, params, x, conv))
    each = -jnp.take_along_axis(scores, y.astype(jnp.int32)[..., None], axis=-1)[..., 0]
    return each.reshape(each.shape[0], -1).mean(axis=1)


def mean_loss(model: dict, params: dict, x, y, mask=None, conv=None) -> jax.Array:
    """The mean over the batch, or over what `mask` [batch] leaves of it (0 where that is nothing)."""
    each = losses(model, params, x, y, conv)
    if mask is None:
        return each.mean()
    return jnp.where(mask, each, 0).sum() / jnp.maximum(mask.sum(), 1)
