"""Which clients are never trained on."""

import numpy as np

from pfljax import keys
from pfljax.data.population import Population
from pfljax.errors import PflError


def hold_out(population: Population, unseen: float, seed: int) -> np.ndarray:
    """[client] bool: True for seen clients. A share `unseen` of the groups is held out, whole.

    Raises PflError if the share is outside [0, 1) or a whole group too few remain to train on.
    """
    if not 0 <= unseen < 1:
        raise PflError(f"unseen: expected a share in [0, 1), got {unseen}")
    names = np.asarray(population.groups if population.groups is not None else population.ids)
    groups, member = np.unique(names, return_inverse=True)
    num_out = round(unseen * len(groups))
    if unseen > 0 and num_out == 0:
        num_out = min(1, len(groups) - 1)
    if num_out >= len(groups):
        raise PflError(f"unseen: expected to leave a client to train on, got {unseen} of {len(groups)} groups")
    out = keys.host(seed, "hold_out").permutation(len(groups))[:num_out]
    return ~np.isin(member, out)
