"""What several processes have to agree on: what one of them measured, noticed or was told.

Every process calls these at the same point of the same program; each call is a small collective. With one process they
cost nothing.
"""

import jax
import numpy as np
from jax.experimental import multihost_utils


def everyone(value: float) -> np.ndarray:
    """[process] float64: what each process passed."""
    alone = np.asarray([value], np.float64)
    if jax.process_count() == 1:
        return alone
    # As bytes, for JAX would narrow the number to 32 bits.
    return np.asarray(multihost_utils.process_allgather(alone.view(np.uint8))).reshape(-1).view(np.float64)


def agreed(value: float) -> float:
    """What process 0 passed."""
    return float(everyone(value)[0])


def smallest(value: float) -> float:
    """The least of what the processes passed."""
    return float(everyone(value).min())


def anyone(flag: bool) -> bool:
    """Whether any process passed True."""
    return bool(everyone(flag).any())


def is_first() -> bool:
    """Whether this is the process that writes and shows what happens."""
    return jax.process_index() == 0
