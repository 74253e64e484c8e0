"""How much a client works in a round: the local arguments that every algorithm shares."""

from dataclasses import dataclass

import numpy as np

from pfljax.errors import PflError, whole


@dataclass(frozen=True)
class Work:
    """`epochs` passes over the client's rows or `steps` optimizer steps; `batch` rows a step, None for all.

    Exactly one of epochs and steps is given. Raises PflError otherwise.

    >>> Work(epochs=2, batch=20).num_steps(np.array([1, 20, 45]))
    array([2, 2, 6], dtype=int32)
    """

    epochs: int | None = None
    steps: int | None = None
    batch: int | None = 32

    def __post_init__(self):
        if (self.epochs is None) == (self.steps is None):
            raise PflError(f"epochs, steps: expected exactly one of them, got epochs={self.epochs}, steps={self.steps}")
        for name in ("epochs", "steps", "batch"):
            if getattr(self, name) is not None:
                whole(name, getattr(self, name))

    def num_steps(self, counts: np.ndarray) -> np.ndarray:
        """Train rows [client] -> optimizer steps [client] int32; none without rows."""
        counts = np.asarray(counts, dtype=np.int64)
        any_rows = np.minimum(counts, 1)
        if self.epochs is not None:
            name, times, each = "epochs", self.epochs, -(-counts // self.batch) if self.batch else any_rows
        else:
            name, times, each = "steps", self.steps, any_rows
        most = int(times or 0) * int(each.max(initial=0))
        if most > np.iinfo(np.int32).max:
            raise PflError(f"{name}: expected at most 2147483647 steps a client, got {most}; lower it")
        return (times * each if most else each).astype(np.int32)


def full_pass(counts: np.ndarray, batch: int | None) -> np.ndarray:
    """What the gradient of the loss on all train rows costs, in gradients of a batch: [client]."""
    return Work(epochs=1, batch=batch).num_steps(counts)


def full_loss(counts: np.ndarray, batch: int | None) -> np.ndarray:
    """What the loss on all train rows costs, in gradients of a batch: a third of its gradient. [client]"""
    return -(-full_pass(counts, batch) // 3)
