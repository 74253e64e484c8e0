"""Losses and metrics per example; the library masks, sums and finalizes them."""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import optax

from pfljax.errors import PflError
from pfljax.types import Batch, Metric, Weighted

Weights = Callable[[Batch], jax.Array]  # batch -> [batch]: how much each example counts


def ones(batch: Batch) -> jax.Array:
    """Every example counts once."""
    return jnp.ones(batch["mask"].shape, jnp.float32)


def cross_entropy(weights: Weights = ones) -> Callable[[jax.Array, Batch], Weighted]:
    """Softmax cross-entropy in nats of logits [batch, class] against integer batch["y"]: [batch]."""

    def loss(outputs: jax.Array, batch: Batch) -> Weighted:
        labels = batch["y"].astype(jnp.int32)
        return Weighted(optax.losses.softmax_cross_entropy_with_integer_labels(outputs, labels), weights(batch))

    return loss


def squared_error(weights: Weights = ones) -> Callable[[jax.Array, Batch], Weighted]:
    """Half the squared distance of outputs [batch, ...] to batch["y"], summed over trailing axes."""

    def loss(outputs: jax.Array, batch: Batch) -> Weighted:
        if outputs.shape != batch["y"].shape:
            raise PflError(f"squared_error: expected outputs of y's shape {batch['y'].shape}, got {outputs.shape}")
        error = 0.5 * (outputs - batch["y"].astype(outputs.dtype)) ** 2
        return Weighted(error.reshape(error.shape[0], -1).sum(axis=1), weights(batch))

    return loss


def poisson(exposure: Weights = ones) -> Callable[[jax.Array, Batch], Weighted]:
    """Half the Poisson deviance of counts batch["y"] from a mean of exposure * softplus(output): [batch].

    It differs from the negative log-likelihood by a constant of y, so gradients are the same. softplus, not exp: a
    step too far is paid in proportion, not exponentially. exposure: batch -> [batch], positive: the
    share of a year, say.
    """

    def loss(outputs: jax.Array, batch: Batch) -> Weighted:
        if outputs.shape != batch["y"].shape:
            raise PflError(f"poisson: expected outputs of y's shape {batch['y'].shape}, got {outputs.shape}")
        count, share = batch["y"].astype(outputs.dtype), exposure(batch).astype(outputs.dtype)
        is_far = outputs < -15  # softplus(x) is exp(x) there, to the last bit, and soon underflows
        log_mean = jnp.log(share) + jnp.where(is_far, outputs, jnp.log(jax.nn.softplus(jnp.where(is_far, 0, outputs))))
        mean = share * jax.nn.softplus(outputs)
        log_count = jnp.log(jnp.where(count > 0, count, 1))  # 0 log 0 is 0
        return Weighted(mean - count + count * (log_count - log_mean), ones(batch))

    return loss


def averaged(
    values: Callable[[jax.Array, Batch], Weighted], scale: float = 1.0, better: Literal["higher", "lower"] = "lower"
) -> Metric:
    """The metric that is the weighted mean of a per-example value, times `scale`; NaN where nothing counts."""

    def stat(outputs, batch):
        value, weight = values(outputs, batch)
        return {"sum": value * weight.astype(value.dtype), "weight": weight}

    def finalize(sums):
        weight = sums["weight"].astype(sums["sum"].dtype)
        return jnp.where(weight > 0, scale * sums["sum"] / jnp.where(weight > 0, weight, 1), jnp.nan)

    return Metric(stat, finalize, better)


def accuracy(weights: Weights = ones) -> Metric:
    """The share of examples whose largest logit is batch["y"]."""

    def values(outputs: jax.Array, batch: Batch) -> Weighted:
        hit = jnp.argmax(outputs, axis=-1).astype(jnp.int32) == batch["y"].astype(jnp.int32)
        return Weighted(hit.astype(jnp.float32), weights(batch))

    return averaged(values, better="higher")
