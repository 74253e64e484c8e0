"""Per-FedAvg: federated MAML. Fallah, Mokhtari, Ozdaglar, "Personalized Federated Learning with Theoretical
Guarantees: A Model-Agnostic Meta-Learning Approach", NeurIPS 2020, Algorithm 1; MAML: Finn et al., ICML 2017.
"""

import numpy as np
import optax

from pfljax import local
from pfljax.algorithms.fedavg import fedavg
from pfljax.errors import PflError
from pfljax.types import Algorithm, Model


def per_fedavg(
    model: Model,
    client_opt: local.Optimizer | None = None,
    server_opt: optax.GradientTransformation | None = None,
    *,
    inner_lr: float = 0.1,
    inner_steps: int = 1,
    order: local.Order = "exact",
    adapt: str | None = None,
    delta: float = 1e-3,
    epochs: int | None = None,
    steps: int | None = None,
    batch: int | None = 32,
    weighting: local.Weighting = "uniform",
) -> Algorithm:
    """Finds a start from which `inner_steps` steps of `inner_lr` on a client's rows do best on its other rows.

    order:       "exact" (second order), "first", or "hessian_free" (differences of width `delta`)
    adapt:       a path pattern such as "head/*" for the parameters that adapt (ANIL); None is all
    epochs, steps, batch: meta-steps, each on disjoint support and query batches of `batch` rows (two thirds
                 more rows for hessian_free's third batch); one epoch passes over each part of a client's rows once
    The other arguments are `fedavg`'s; client_opt takes the meta-steps (the paper's beta).

    Raises PflError for arguments outside these.
    """
    if not inner_lr >= 0:
        raise PflError(f"inner_lr: expected a number of at least 0, got {inner_lr}")
    num_parts = 3 if order == "hessian_free" else 2
    meta = local.meta_gradient(model, inner_steps=inner_steps, order=order, adapt=adapt, batch=batch, delta=delta)
    base = fedavg(
        model, client_opt, server_opt, epochs=epochs, steps=steps, batch=batch,
        weighting=weighting, gradient=meta, hyper={"inner_lr": inner_lr},
    )  # fmt: skip
    part = lambda counts: -(-np.asarray(counts) // num_parts)
    inner_cost = {"exact": 3, "first": 1, "hessian_free": 3}[order]
    inner_opt = lambda sent: local.subset(local.sgd(sent.hyper["inner_lr"]), adapt)
    return base._replace(
        name="per_fedavg",
        personal=local.finetune(local.gradient(model, batch), inner_opt),
        steps=lambda counts: base.steps(part(counts)),
        cost=lambda counts: base.steps(part(counts)) * (1 + inner_cost * inner_steps),
    )
