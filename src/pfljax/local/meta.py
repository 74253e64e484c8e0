"""MAML's inner loop and the three ways to differentiate through it."""

from typing import Literal, get_args

import jax
from jax import lax

from pfljax import keys
from pfljax.errors import PflError, whole
from pfljax.local import paths
from pfljax.local.gradient import Gradient, mean_loss
from pfljax.types import Key, Model, Tree, Vars

Order = Literal["exact", "first", "hessian_free"]


def meta_gradient(
    model: Model, *, inner_steps: int, order: Order, adapt: str | None, batch: int | None, delta: float
) -> Gradient:
    """The gradient of the query loss after `inner_steps` steps of sent.hyper["inner_lr"] on the support batch.

    exact:        through the inner loop, second order (Finn et al., MAML, ICML 2017, eq. 1)
    first:        the query gradient at the adapted point, taken for the whole (FOMAML)
    hessian_free: each I - lr H(w_k) applied by central differences of width `delta` on a third batch
                  (Fallah et al., Per-FedAvg, NeurIPS 2020, eq. 8)

    `adapt` names the parameters that the inner loop moves (ANIL, Raghu et al., ICLR 2020); None moves all.
    Raises PflError for an unknown order, no inner step, or a pattern that matches nothing.
    """
    if order not in get_args(Order):
        raise PflError(f"order: expected one of {', '.join(get_args(Order))}, got {order!r}")
    whole("inner_steps", inner_steps)
    if not 0 < delta < float("inf"):
        raise PflError(f"delta: expected a positive number, got {delta}")

    def differentiable(key, step, vars, sent, shard):
        loss_on, (support, query) = parts(model, key, step, vars, shard, batch, 2)
        lr = sent.hyper["inner_lr"]

        def objective(params):
            own = loss_on("support", support)
            adapted, _ = _inner_loop(own, params, lr, inner_steps, adapt, order == "first")
            return loss_on("query", query)(adapted)

        (loss, stats), grads = jax.value_and_grad(objective, has_aux=True)(vars.params)
        return loss, grads, stats

    def hessian_free(key, step, vars, sent, shard):
        loss_on, (support, query, third) = parts(model, key, step, vars, shard, batch, 3)
        lr = sent.hyper["inner_lr"]
        adapted, path = _inner_loop(loss_on("support", support), vars.params, lr, inner_steps, adapt, True)
        (loss, stats), grads = jax.value_and_grad(loss_on("query", query), has_aux=True)(adapted)
        slope = lambda params: jax.grad(lambda p: loss_on("third", third)(p)[0])(params)

        def pull_back(v, params):
            """(I - lr H M) v at one point of the inner path; M keeps the adapted leaves."""
            moved = lambda sign: jax.tree.map(lambda w, d: w + sign * delta * d, params, paths.keep(v, adapt))
            ahead, behind = slope(moved(1.0)), slope(moved(-1.0))
            curve = jax.tree.map(lambda a, b: (a - b) / (2 * delta), ahead, behind)
            return _step(v, curve, lr), None

        grads, _ = lax.scan(pull_back, grads, path, reverse=True)
        return loss, grads, stats

    return hessian_free if order == "hessian_free" else differentiable


def parts(model: Model, key: Key, step, vars: Vars, shard, batch: int | None, num: int):
    """((name, rows) -> loss as a function of params, `num` disjoint batches) of one meta-step."""
    key_model = keys.at(keys.use(key, "model"), step)
    loss_on = lambda name, rows: lambda params: mean_loss(model, params, vars.stats, rows, keys.use(key_model, name))
    return loss_on, shard.train.disjoint(keys.use(key, "batch"), step, batch, num)


def _inner_loop(loss, params: Tree, lr: jax.Array, num_steps: int, adapt: str | None, is_cut: bool):
    """(adapted params, the points [inner step, ...] that gradients were taken at)."""

    def step(params, _):
        grads = jax.grad(lambda p: loss(p)[0])(params)
        # Cutting the gradient, not the parameters, leaves the identity part of the Jacobian in place.
        grads = lax.stop_gradient(grads) if is_cut else grads
        return _step(params, paths.keep(grads, adapt), lr), params

    return lax.scan(step, params, length=num_steps)


def _step(params: Tree, direction: Tree, lr: jax.Array) -> Tree:
    return jax.tree.map(lambda w, g: w - lr.astype(w.dtype) * g, params, direction)
