"""LoRA adapters as personal parameters. Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022;
as adapters of a federated model: Pillutla et al., "Federated Learning with Partial Model Personalization", ICML 2022.
"""

import optax

from pfljax import local
from pfljax.algorithms.fedsim import fedsim
from pfljax.local.paths import mask
from pfljax.models.lora import with_adapters
from pfljax.types import Algorithm, Model


def lora(
    model: Model,
    client_opt: local.Optimizer | None = None,
    server_opt: optax.GradientTransformation | None = None,
    *,
    rank: int = 4,
    kernels: str = "*kernel",
    shared: str = "!adapter/*",
    frozen: str | None = None,
    **fedsim_arguments,
) -> Algorithm:
    """Every kernel that matches is W + A B with A, B of `rank`; W is shared and the adapters are the client's own.

    Parameters are {"base": the model's, "adapter": {path: {"a", "b"}}}; `pfl.models.lora.wrapped` makes them from a
    trained model's, for `params=`. shared="!adapter/*/b" with frozen="base/*" shares A on a fixed base.
    frozen: a pattern of what neither clients nor server train; PflError if it matches nothing. Other arguments:
    `fedsim`.
    """
    client_opt, server_opt = local.optimizer(client_opt), optax.sgd(1.0) if server_opt is None else server_opt
    moving = client_opt
    if frozen is not None:
        moving = lambda sent: local.subset(local.resolve(client_opt, sent), local.other(frozen))
        server_opt = local.subset(server_opt, local.other(frozen))
    made = fedsim(with_adapters(model, rank, kernels), moving, server_opt, shared=shared, **fedsim_arguments)

    def init(key, vars, census, hyper):
        if frozen is not None:
            mask(vars.params, frozen)
        return made.init(key, vars, census, hyper)

    return made._replace(name="lora", init=init)
