"""FedSim: shared and personal parameters train together. Pillutla et al., "Federated Learning with Partial Model
Personalization", ICML 2022, Algorithm 2.
"""

import optax

from pfljax import local
from pfljax.algorithms._shared import share
from pfljax.types import Algorithm, Model


def fedsim(
    model: Model,
    client_opt: local.Optimizer | None = None,
    server_opt: optax.GradientTransformation | None = None,
    *,
    shared: str,
    batch: int | None = 32,
    **fedavg_arguments,
) -> Algorithm:
    """All parameters take each local step; those that match `shared` are averaged, the others stay with the client.

    shared: a path pattern such as "body/*" or "!head/*" (all but the head). "*" is FedAvg, "!*" local training.
    Other arguments: `fedavg`. Raises PflError for any other pattern that matches nothing or everything.
    """
    gradient, client_opt = local.gradient(model, batch), local.optimizer(client_opt)

    def train(key, vars, sent, shard):
        return local.descend(gradient, client_opt, key, vars, sent, shard)

    made = share(
        model, shared, train, server_opt, personal_gradient=gradient, personal_opt=client_opt, batch=batch,
        **fedavg_arguments,
    )  # fmt: skip
    return made._replace(name="fedsim")
