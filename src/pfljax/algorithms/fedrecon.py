"""FedRecon. Singhal et al., "Federated Reconstruction: Partially Local Federated Learning", NeurIPS 2021, Algorithm 1.

Clients keep nothing: they find their own parameters anew in every round, on one half of their rows.
"""

from dataclasses import replace

import optax

from pfljax import keys, local
from pfljax.algorithms._shared import server_optimizer, server_step
from pfljax.algorithms.fedavg import fedavg
from pfljax.errors import whole
from pfljax.types import Algorithm, Model


def fedrecon(
    model: Model,
    client_opt: local.Optimizer | None = None,
    server_opt: optax.GradientTransformation | None = None,
    *,
    shared: str,
    recon_opt: local.Optimizer | None = None,
    recon_steps: int = 10,
    batch: int | None = 32,
    weighting: local.Weighting = "examples",
    **local_work,
) -> Algorithm:
    """`recon_steps` steps on the own parameters with support rows, then the local steps on the shared with query rows.

    Own parameters, all that do not match `shared`, begin where the server's began. An epoch is one pass over the query
    half. recon_opt: of the reconstruction (default sgd(0.1)), also of a client's own model later, on all its rows.
    Other arguments: `fedavg`. Raises PflError for a pattern that matches nothing or everything, or no step.
    """
    whole("recon_steps", recon_steps)
    gradient = local.gradient(model, batch)
    part = lambda opt, pattern: lambda sent: local.subset(local.resolve(local.optimizer(opt), sent), pattern)
    own_opt, common_opt = part(recon_opt, local.other(shared)), part(client_opt, shared)
    base = fedavg(model, None, server_optimizer(server_opt, shared), batch=batch, weighting=weighting, **local_work)

    def client(key, sent, mine, shard):
        support, query = (replace(shard, train=shard.train.part(index, 2)) for index in range(2))
        vars, _ = local.descend(gradient, own_opt, keys.use(key, "support"), sent.vars, sent, support, recon_steps)
        vars, info = local.descend(gradient, common_opt, key, vars, sent, query)
        begin, end = (local.split(each, shared)[0] for each in (sent.vars, vars))
        return local.change(begin, end, query, weighting), mine, info

    half = lambda counts: -(-counts // 2)
    return base._replace(
        name="fedrecon",
        passes=((client, server_step(base)),),
        personal=local.finetune(gradient, own_opt),
        steps=lambda counts: base.steps(half(counts)),
        cost=lambda counts: base.steps(half(counts)) + recon_steps,
    )
