"""pFedMe. Dinh, Tran, Nguyen, "Personalized Federated Learning with Moreau Envelopes", NeurIPS 2020, Algorithm 1.

A client's own model is theta(w), the minimum of f(theta) + lam / 2 * |theta - w|^2; the shared w minimises the mean
of these minima (eq. 2, 3), whose gradient is lam * (w - theta).
"""

import jax
import optax

from pfljax import local
from pfljax.algorithms.fedavg import fedavg
from pfljax.errors import PflError, at_least, whole
from pfljax.types import Algorithm, Model


def pfedme(
    model: Model,
    *,
    lr: float = 0.005,
    lam: float = 15.0,
    inner_lr: float = 0.03,
    inner_steps: int = 5,
    beta: float = 1.0,
    batch: int | None = 20,
    weighting: local.Weighting = "uniform",
    **local_work,
) -> Algorithm:
    """Each local step seeks theta by `inner_steps` steps from w on one batch, then w <- w - lr lam (w - theta).

    beta: the server's rate; above 1 it extrapolates. epochs, steps: as in `fedavg`; every step costs `inner_steps`
    gradients. A client's own model is found anew from w by the same inner steps, so an unseen client has one too and
    nothing is kept. Raises PflError for lam <= 0, a negative rate or no inner step.
    """
    if not lam > 0:
        raise PflError(f"lam: expected a positive number, got {lam}")
    for name, value in (("lr", lr), ("inner_lr", inner_lr), ("beta", beta)):
        at_least(name, value, 0)
    whole("inner_steps", inner_steps)
    inner = lambda sent: local.sgd(sent.hyper["inner_lr"])
    own = local.gradient(model, batch)

    def envelope(key, step, vars, sent, shard):
        pulled = local.affine(own, pull=sent.hyper["lam"], anchor=vars.params)
        same_batch = lambda key, _, vars, sent, shard: pulled(key, step, vars, sent, shard)
        theta, info = local.descend(same_batch, inner(sent), key, vars, sent, shard, inner_steps)
        away = lambda w, t: sent.hyper["lam"].astype(w.dtype) * (w - t)
        return info["loss"], jax.tree.map(away, vars.params, theta.params), theta.stats

    base = fedavg(
        model, lambda sent: local.sgd(sent.hyper["lr"]), optax.sgd(beta), batch=batch, weighting=weighting,
        gradient=envelope, hyper={"lr": lr, "lam": lam, "inner_lr": inner_lr}, **local_work,
    )  # fmt: skip
    return base._replace(
        name="pfedme",
        personal=local.finetune(local.proximal(own, "lam"), inner),
        cost=lambda counts: base.cost(counts) * inner_steps,
    )
