"""FedRep. Collins, Hassani, Mokhtari, Shakkottai, "Exploiting Shared Representations for Personalized Federated
Learning", ICML 2021, Algorithm 1.
"""

from pfljax import local
from pfljax.algorithms.fedalt import fedalt
from pfljax.types import Algorithm, Model


def fedrep(
    model: Model,
    client_opt: local.Optimizer | None = None,
    *,
    shared: str = "!head/*",
    head_passes: int = 10,
    **fedalt_arguments,
) -> Algorithm:
    """Many steps on the client's own head, then a few on the shared representation: FedAlt with this split.

    head_passes: head steps for each step of the representation. Other arguments: `fedalt`.
    """
    made = fedalt(model, client_opt, shared=shared, personal_passes=head_passes, **fedalt_arguments)
    return made._replace(name="fedrep")
