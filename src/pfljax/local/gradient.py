"""What a local step descends: gradients of a model's loss on one client's rows.

A gradient is (key, step, Vars, Sent, Shard) -> (loss, gradient tree, stats), so that papers' corrections and
meta-gradients wrap one another. `key` is the client's key of the round; the step picks the batch.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from pfljax import keys
from pfljax.aggregate import contribution, finish
from pfljax.types import Batch, Key, Mean, Model, Tree, Vars, Weighted

Gradient = Callable[..., tuple[jax.Array, Tree, Tree]]


def total_loss(model: Model, params: Tree, stats: Tree, batch: Batch, key: Key):
    """(sum of weighted losses, (sum of weights, new stats)): padding counts in neither."""
    outputs, stats = model.apply(Vars(params, stats), batch, key, True)
    total, weight = weighted_sum(model.loss(outputs, batch), batch)
    return total, (weight, stats)


def weighted_sum(losses: Weighted, batch: Batch) -> tuple[jax.Array, jax.Array]:
    """(sum of weighted losses, sum of weights) over the rows that are no padding."""
    value, weight = losses
    # where, not a product: a padded row may hold a NaN loss, and 0 * NaN is NaN.
    weight = jnp.where(batch["mask"], weight, 0).astype(value.dtype)
    return jnp.sum(jnp.where(batch["mask"], value, 0) * weight), jnp.sum(weight)


def weighted_mean(losses: Weighted, batch: Batch) -> jax.Array:
    """The weighted mean of per-example losses; 0 where no row counts."""
    total, weight = weighted_sum(losses, batch)
    return total / positive(weight)


def mean_loss(model: Model, params: Tree, stats: Tree, batch: Batch, key: Key):
    """(weighted mean loss, new stats); 0 where no row counts."""
    total, (weight, stats) = total_loss(model, params, stats, batch, key)
    return total / positive(weight), stats


def positive(weight: jax.Array) -> jax.Array:
    """The weight, or 1 where it is 0, so that an empty mean is 0 and its gradient too."""
    return jnp.where(weight > 0, weight, jnp.ones_like(weight))


def gradient(model: Model, batch: int | None) -> Gradient:
    """The gradient of the mean loss on the step's batch, or on all train rows where `batch` is None."""

    def on_batch(key, step, vars, sent, shard):
        rows = shard.train.batch(keys.use(key, "batch"), step, batch)
        objective = lambda params: mean_loss(model, params, vars.stats, rows, keys.at(keys.use(key, "model"), step))
        (loss, stats), grads = jax.value_and_grad(objective, has_aux=True)(vars.params)
        return loss, grads, stats

    def on_all(key, step, vars, sent, shard):
        key_step = keys.at(keys.use(key, "model"), step)

        def tile(index, rows):
            objective = lambda params: total_loss(model, params, vars.stats, rows, keys.at(key_step, index))
            (loss, (weight, stats)), grads = jax.value_and_grad(objective, has_aux=True)(vars.params)
            return loss, weight, grads, contribution(Mean(stats, rows["mask"].sum()), jnp.bool_(True))

        loss, weight, grads, stats = shard.train.reduce(tile)
        weight = positive(weight)
        grads = jax.tree.map(lambda g: g / weight.astype(g.dtype), grads)
        return loss / weight, grads, finish(stats, Mean(vars.stats, weight))

    return on_all if batch is None else on_batch


def affine(base: Gradient, *, pull: jax.Array | None = None, anchor: Tree = None, shift: Tree = None) -> Gradient:
    """base + pull * (w - anchor) + shift: every drift correction has this form. anchor, shift: trees like params."""

    def corrected(key, step, vars, sent, shard):
        loss, grads, stats = base(key, step, vars, sent, shard)
        if pull is not None:
            strength = pull
            add = lambda g, w, a: g + strength.astype(w.dtype) * (w - a)
            grads = jax.tree.map(add, grads, vars.params, anchor)
        if shift is not None:
            grads = jax.tree.map(jnp.add, grads, shift)
        return loss, grads, stats

    return corrected


def proximal(base: Gradient, hyper: str) -> Gradient:
    """base + m * (w - w_sent), the gradient of f(w) + m / 2 * |w - w_sent|^2; m is the hyper-parameter so named."""

    def corrected(key, step, vars, sent, shard):
        pulled = affine(base, pull=sent.hyper[hyper], anchor=sent.vars.params)
        return pulled(key, step, vars, sent, shard)

    return corrected


def all_rows_loss(model: Model) -> Callable:
    """(Vars, Rows) -> the mean loss over all these rows, as the model predicts (no dropout); 0 without rows."""

    def loss(vars, rows):
        predict = lambda batch: model.apply(vars, batch, keys.root(0), False)[0]
        total, weight = rows.reduce(lambda _, batch: weighted_sum(model.loss(predict(batch), batch), batch))
        return total / positive(weight)

    return loss
