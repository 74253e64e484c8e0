"""FedBN. Li et al., "FedBN: Federated Learning on Non-IID Features via Local Batch Normalization", ICLR 2021."""

from pfljax import local
from pfljax.algorithms.fedsim import fedsim
from pfljax.local.paths import mask
from pfljax.types import Algorithm, Model


def fedbn(
    model: Model, client_opt: local.Optimizer | None = None, *, norm: str = "*norm*", **fedsim_arguments
) -> Algorithm:
    """Normalization layers, their running statistics included, are personal; everything else is shared.

    norm: the pattern of their paths. Other arguments: `fedsim`. Raises PflError for a model without any.
    """
    made = fedsim(model, client_opt, shared=local.other(norm), **fedsim_arguments)

    def init(key, vars, census, hyper):
        mask(vars.params, norm)  # refuses in terms of `norm`; the frame would in terms of all others
        return made.init(key, vars, census, hyper)

    return made._replace(name="fedbn", init=init)
