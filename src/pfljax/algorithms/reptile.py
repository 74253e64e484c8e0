"""Reptile. Nichol, Achiam, Schulman, "On First-Order Meta-Learning Algorithms", 2018, Algorithm 2 (batched)."""

import optax

from pfljax import local
from pfljax.algorithms.fedavg import fedavg
from pfljax.errors import at_least
from pfljax.types import Algorithm, Model


def reptile(
    model: Model,
    client_opt: local.Optimizer | None = None,
    *,
    step_size: float = 1.0,
    batch: int | None = 32,
    **local_work,
) -> Algorithm:
    """Moves the start by `step_size` of the way to the clients' mean end; a client's own model is adapted by its steps.

    As training it is FedAvg with uniform weights and a server rate. epochs, steps: as in `fedavg`.
    Raises PflError for a negative step_size.
    """
    at_least("step_size", step_size, 0)
    base = fedavg(model, client_opt, optax.sgd(step_size), batch=batch, weighting="uniform", **local_work)
    adapted = local.finetune(local.gradient(model, batch), local.optimizer(client_opt))
    return base._replace(name="reptile", personal=adapted)
