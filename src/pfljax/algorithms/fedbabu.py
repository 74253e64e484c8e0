"""FedBABU. Oh, Kim, Yun, "FedBABU: Towards Enhanced Representation for Federated Image Classification", ICLR 2022.

Algorithm 1: the head stays at its random start for the whole training; only the body is learned.
"""

import optax

from pfljax import local
from pfljax.algorithms._shared import server_optimizer, server_step
from pfljax.algorithms.fedavg import fedavg
from pfljax.types import Algorithm, Model


def fedbabu(
    model: Model,
    client_opt: local.Optimizer | None = None,
    server_opt: optax.GradientTransformation | None = None,
    *,
    shared: str = "!head/*",
    personal_opt: local.Optimizer | None = None,
    batch: int | None = 32,
    weighting: local.Weighting = "examples",
    **local_work,
) -> Algorithm:
    """FedAvg of the parameters that match `shared`, the others frozen; a client's own model is fine-tuned whole.

    personal_opt: of the fine-tuning (default: client_opt); restrict it with `pfl.local.subset` for the head alone.
    Other arguments: `fedavg`. Raises PflError for a pattern that matches nothing or everything.
    """
    gradient, client_opt = local.gradient(model, batch), local.optimizer(client_opt)
    personal_opt = client_opt if personal_opt is None else personal_opt
    base = fedavg(model, None, server_optimizer(server_opt, shared), batch=batch, weighting=weighting, **local_work)
    body_opt = lambda sent: local.subset(local.resolve(client_opt, sent), shared)

    def client(key, sent, mine, shard):
        vars, info = local.descend(gradient, body_opt, key, sent.vars, sent, shard)
        begin, end = (local.split(each, shared)[0] for each in (sent.vars, vars))
        return local.change(begin, end, shard, weighting), mine, info

    return base._replace(
        name="fedbabu", passes=((client, server_step(base)),), personal=local.finetune(gradient, personal_opt)
    )
