"""FedPer. Arivazhagan et al., "Federated Learning with Personalization Layers", 2019."""

from pfljax import local
from pfljax.algorithms.fedsim import fedsim
from pfljax.types import Algorithm, Model


def fedper(
    model: Model, client_opt: local.Optimizer | None = None, *, shared: str = "!head/*", **fedsim_arguments
) -> Algorithm:
    """The base layers are shared and the last ones personal; both train together. Arguments: `fedsim`."""
    return fedsim(model, client_opt, shared=shared, **fedsim_arguments)._replace(name="fedper")
