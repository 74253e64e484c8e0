"""FedExP. Jhunjhunwala, Wang, Joshi, "FedExP: Speeding Up Federated Averaging via Extrapolation", ICLR 2023.

Eq. (8): the server's rate is max(1, mean |delta_i|^2 / (2 (|mean delta|^2 + eps))).
"""

import jax
import jax.numpy as jnp
import optax

from pfljax import local
from pfljax.algorithms.fedavg import fedavg
from pfljax.errors import at_least
from pfljax.types import Algorithm, Mean, Model, Personal


def fedexp(
    model: Model,
    client_opt: local.Optimizer | None = None,
    *,
    eps: float = 1e-3,
    weighting: local.Weighting = "uniform",
    **local_work,
) -> Algorithm:
    """FedAvg with a server rate from how much the clients' changes disagree. Every client's model is the mean of
    the last two (section 4); `result.vars` is the last one, from which the next round starts. Others: `fedavg`.

    Raises PflError for a negative eps.
    """
    at_least("eps", eps, 0)
    base = fedavg(model, client_opt, weighting=weighting, hyper={"eps": eps}, **local_work)
    ((train, step),) = base.passes

    def init(key, vars, census, hyper):
        return base.init(key, vars, census, hyper)._replace(extra=vars.params)

    def client(key, sent, mine, shard):
        change, _, info = train(key, sent, mine, shard)
        return (change, Mean(optax.tree.norm(change.value.params, squared=True), change.weight)), mine, info

    def server(key, server, aggregate):
        change, square = aggregate.value
        rate = square / (2 * (optax.tree.norm(change.params, squared=True) + server.hyper["eps"].astype(square.dtype)))
        rate = jnp.maximum(rate, 1)
        delta = jax.tree.map(lambda d: rate.astype(d.dtype) * d, change.params)
        moved, info = step(key, server, aggregate._replace(value=change._replace(params=delta)))
        return moved._replace(extra=server.vars.params), info | {"server_rate": rate}

    def start(key, sent, mine, shard):
        averaged = jax.tree.map(lambda a, b: (a + b) / 2, sent.vars.params, sent.extra)
        return Personal(sent.vars._replace(params=averaged), (), jnp.int32(0))

    return base._replace(name="fedexp", init=init, passes=((client, server),), personal=(start, local.stay))
