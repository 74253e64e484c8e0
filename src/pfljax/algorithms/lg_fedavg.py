"""LG-FedAvg. Liang et al., "Think Locally, Act Globally", 2020, Algorithm 1."""

from pfljax import local
from pfljax.algorithms.fedsim import fedsim
from pfljax.types import Algorithm, Model


def lg_fedavg(
    model: Model, client_opt: local.Optimizer | None = None, *, shared: str = "head/*", **fedsim_arguments
) -> Algorithm:
    """The representation is personal and the head shared: FedPer the other way round. Arguments: `fedsim`.

    The authors start from a model trained by FedAvg: `simulate(..., params=...)`.
    """
    return fedsim(model, client_opt, shared=shared, **fedsim_arguments)._replace(name="lg_fedavg")
