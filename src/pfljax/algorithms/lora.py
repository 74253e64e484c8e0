"""LoRA adapters as personal parameters. Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022;
as adapters of a federated model: Pillutla et al., "Federated Learning with Partial Model Personalization", ICML 2022.
"""

from pfljax import local
from pfljax.algorithms.fedsim import fedsim
from pfljax.models.lora import with_adapters
from pfljax.types import Algorithm, Model


def lora(
    model: Model,
    client_opt: local.Optimizer | None = None,
    *,
    rank: int = 4,
    kernels: str = "*kernel",
    shared: str = "base/*",
    frozen: str | None = None,
    **fedsim_arguments,
) -> Algorithm:
    """Every kernel that matches is W + A B with A, B of `rank`; W is shared and the adapters are the client's own.

    Parameters are {"base": the model's, "adapter": {path: {"a", "b"}}}; `pfl.models.lora.wrapped` makes them from a
    trained model's, for `params=`. shared="adapter/*/a" with frozen="base/*" shares A on a fixed base.
    frozen: a pattern of what nobody trains. Other arguments: `fedsim`.
    """
    client_opt, adapted = local.optimizer(client_opt), with_adapters(model, rank, kernels)
    moving = client_opt
    if frozen is not None:
        moving = lambda sent: local.subset(local.resolve(client_opt, sent), local.other(frozen))
    return fedsim(adapted, moving, shared=shared, **fedsim_arguments)._replace(name="lora")
