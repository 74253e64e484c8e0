"""FedAvg, then local training. Jiang et al., "Improving Federated Learning Personalization via MAML", 2019."""

import optax

from pfljax import local
from pfljax.algorithms.fedavg import fedavg
from pfljax.types import Algorithm, Model


def fedavg_finetune(
    model: Model,
    client_opt: local.Optimizer | None = None,
    server_opt: optax.GradientTransformation | None = None,
    *,
    personal_opt: local.Optimizer | None = None,
    personal_batch: int | None = 32,
    **local_work,
) -> Algorithm:
    """Trains as `fedavg` does, bit for bit; a client's own model is the shared one after steps on its train rows.

    personal_opt, personal_batch: the adaptation's optimizer (default sgd(0.1)) and batch; other arguments: `fedavg`.
    """
    personal_opt = optax.sgd(0.1) if personal_opt is None else personal_opt
    return fedavg(model, client_opt, server_opt, **local_work)._replace(
        name="fedavg_finetune", personal=local.finetune(local.gradient(model, personal_batch), personal_opt)
    )
