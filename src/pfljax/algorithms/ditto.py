"""Ditto. Li, Hu, Beirami, Smith, "Ditto: Fair and Robust Federated Learning Through Personalization", ICML 2021.

Algorithm 1: the shared model w trains by FedAvg; beside it each client keeps v, trained on
f(v) + lam / 2 * |v - w|^2 with w as it was at the start of the round (eq. 1).
"""

import optax

from pfljax import keys, local
from pfljax.algorithms.fedavg import fedavg
from pfljax.errors import at_least
from pfljax.types import Algorithm, Model


def ditto(
    model: Model,
    client_opt: local.Optimizer | None = None,
    *,
    lam: float = 1.0,
    personal_opt: local.Optimizer | None = None,
    batch: int | None = 32,
    **fedavg_arguments,
) -> Algorithm:
    """Client state is v, a whole model. The shared trajectory is FedAvg's, bit for bit, whatever lam is.

    lam:          the pull towards the shared model; 0 is local training
    personal_opt: the optimizer of v (default: client_opt)
    fedavg_arguments: server_opt, epochs or steps, weighting, as in `fedavg`

    Raises PflError for a negative lam.
    """
    at_least("lam", lam, 0)
    base = fedavg(model, client_opt, batch=batch, hyper={"lam": lam}, **fedavg_arguments)
    personal_opt = personal_opt or client_opt or optax.sgd(0.1)
    ((train, server),) = base.passes
    pulled = local.proximal(local.gradient(model, batch), "lam")

    def client(key, sent, mine, shard):
        upload, _, info = train(key, sent, (), shard)
        mine, own_info = local.descend(pulled, personal_opt, keys.use(key, "personal"), mine, sent, shard)
        return upload, mine, info | {"personal_loss": own_info["loss"]}

    return base._replace(
        name="ditto", init_client=lambda key, sent: sent.vars, passes=((client, server),),
        personal=local.finetune(pulled, personal_opt, begin=lambda sent, mine: mine),
        cost=lambda counts: 2 * base.cost(counts),
    )  # fmt: skip
