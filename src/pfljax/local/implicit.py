"""Two more ways to differentiate through adaptation: implicitly (iMAML), and by its step sizes too (Meta-SGD)."""

import jax
from jax import lax
from jax.scipy.sparse.linalg import cg

from pfljax.local.gradient import Gradient
from pfljax.local.meta import parts
from pfljax.types import Model

TOLERANCE = 1e-12  # of the residual's norm, where conjugate gradients end early


def implicit_gradient(model: Model, *, inner_steps: int, cg_steps: int, batch: int | None) -> Gradient:
    """The gradient of the query loss at w* = argmin f_support(w) + lam / 2 * |w - start|^2 with respect to the start.

    (I + H / lam)^-1 times the query gradient at w* (Rajeswaran et al., NeurIPS 2019, eq. 6), H of the support loss.
    sent.hyper: lam, inner_lr.
    """

    def implicit(key, step, vars, sent, shard):
        loss_on, (support, query) = parts(model, key, step, vars, shard, batch, 2)
        lam, lr = sent.hyper["lam"], sent.hyper["inner_lr"]
        slope = jax.grad(lambda params: loss_on("support", support)(params)[0])

        def inner(w, _):
            move = lambda w, g, start: w - lr.astype(w.dtype) * (g + lam.astype(w.dtype) * (w - start))
            return jax.tree.map(move, w, slope(w), vars.params), None

        adapted, _ = lax.scan(inner, vars.params, length=inner_steps)
        (loss, stats), grads = jax.value_and_grad(loss_on("query", query), has_aux=True)(adapted)

        def system(v):
            curved = jax.jvp(slope, (adapted,), (v,))[1]
            return jax.tree.map(lambda v, h: v + h / lam.astype(v.dtype), v, curved)

        solved, _ = cg(system, grads, maxiter=cg_steps, tol=TOLERANCE)
        return loss, solved, stats

    return implicit


def rates_gradient(model: Model, *, batch: int | None) -> Gradient:
    """The gradient of the query loss after w - rates * support gradient; params: {"model": w, "rates": like w}."""

    def gradient(key, step, vars, sent, shard):
        loss_on, (support, query) = parts(model, key, step, vars, shard, batch, 2)

        def objective(both):
            grads = jax.grad(lambda params: loss_on("support", support)(params)[0])(both["model"])
            return loss_on("query", query)(jax.tree.map(lambda w, r, g: w - r * g, both["model"], both["rates"], grads))

        (loss, stats), grads = jax.value_and_grad(objective, has_aux=True)(vars.params)
        return loss, grads, stats

    return gradient
