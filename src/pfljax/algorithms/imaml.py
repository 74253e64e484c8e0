"""iMAML: implicit gradients. Rajeswaran, Finn, Kakade, Levine, "Meta-Learning with Implicit Gradients",
NeurIPS 2019, Algorithms 1 and 2.
"""

import optax

from pfljax import local
from pfljax.algorithms.fedavg import fedavg
from pfljax.errors import PflError, whole
from pfljax.types import Algorithm, Model


def imaml(
    model: Model,
    client_opt: local.Optimizer | None = None,
    server_opt: optax.GradientTransformation | None = None,
    *,
    lam: float = 1.0,
    inner_lr: float = 0.1,
    inner_steps: int = 10,
    cg_steps: int = 5,
    batch: int | None = 32,
    weighting: local.Weighting = "uniform",
    **local_work,
) -> Algorithm:
    """The start from which the minimum of f_support(w) + lam / 2 * |w - start|^2 does best on the query rows.

    The minimum is sought by `inner_steps` steps of `inner_lr`; (I + H / lam) x = query gradient (eq. 6) is solved by
    `cg_steps` conjugate gradients. Memory does not grow with the inner steps. Meta-steps, support and query as in
    `per_fedavg`. Raises PflError for arguments outside these.
    """
    if not lam > 0:
        raise PflError(f"lam: expected a positive number, got {lam}")
    for name, value in {"inner_steps": inner_steps, "cg_steps": cg_steps}.items():
        whole(name, value)
    meta = local.implicit_gradient(model, inner_steps=inner_steps, cg_steps=cg_steps, batch=batch)
    base = fedavg(
        model, client_opt, server_opt, batch=batch, weighting=weighting, gradient=meta,
        hyper={"lam": lam, "inner_lr": inner_lr}, **local_work,
    )  # fmt: skip
    pulled = local.proximal(local.gradient(model, batch), "lam")
    half = lambda counts: -(-counts // 2)
    return base._replace(
        name="imaml",
        personal=local.finetune(pulled, lambda sent: local.sgd(sent.hyper["inner_lr"])),
        steps=lambda counts: base.steps(half(counts)),
        cost=lambda counts: base.steps(half(counts)) * (1 + inner_steps + 2 * cg_steps),
    )
