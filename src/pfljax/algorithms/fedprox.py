"""FedProx. Li et al., "Federated Optimization in Heterogeneous Networks", MLSys 2020, Algorithm 2.

Clients train on f(w) + mu / 2 * |w - w_sent|^2 (eq. 2).
"""

from pfljax import local
from pfljax.algorithms.fedavg import fedavg
from pfljax.errors import at_least
from pfljax.types import Algorithm, Model


def fedprox(
    model: Model,
    client_opt: local.Optimizer | None = None,
    *,
    mu: float = 0.01,
    batch: int | None = 32,
    **fedavg_arguments,
) -> Algorithm:
    """FedAvg with a pull of strength mu towards the model of the round's start; mu = 0 is FedAvg, bit for bit.

    Partial work (the paper's stragglers) is a smaller number of steps for some clients. The authors choose mu from
    0.001 to 1 for each data set. Other arguments: `fedavg`. Raises PflError for a negative mu.
    """
    at_least("mu", mu, 0)
    pulled = local.proximal(local.gradient(model, batch), "mu")
    base = fedavg(model, client_opt, batch=batch, gradient=pulled, hyper={"mu": mu}, **fedavg_arguments)
    return base._replace(name="fedprox")
