"""Which round of a run has the best validation figure, by the figures in its records."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pfljax.errors import PflError, nearest
from pfljax.types import Model

Better = Literal["higher", "lower"]


class Best:
    """The best round so far. metric: None for none; better: which end of it is good

    done: rounds, that one included; 0 before there is one

    >>> best = Best("loss", "lower", [{"round": 0}, {"round": 1, "validation_loss": 0.5}])
    >>> best.is_met({"round": 3, "validation_loss": 0.4}), best.is_met({"round": 5, "validation_loss": 0.4})
    (True, False)
    >>> best.done, best.figure
    (4, 0.4)
    """

    def __init__(self, metric: str | None, better: Better, records: Iterable[Mapping[str, Any]] = ()):
        self.metric, self._sign = metric, 1 if better == "higher" else -1
        self.done, self._figure = 0, -math.inf
        for record in records:
            self.is_met(record)

    @property
    def figure(self) -> float:
        return self._sign * self._figure

    def is_met(self, record: Mapping[str, Any]) -> bool:
        """Takes note of a round's record; whether its figure is the best so far, the first one of equal ones."""
        figure = self._sign * record.get(f"validation_{self.metric}", math.nan)
        if not figure > self._figure:  # nor is one that is not a number
            return False
        self.done, self._figure = record["round"] + 1, figure
        return True


def better(metric: str, model: Model, what: str) -> Better:
    """Which end of a model's metric is good. Raises PflError if the model has no such metric."""
    known: dict[str, Better] = {name: rule.better for name, rule in model.metrics}
    if metric not in known:
        raise PflError(f"{what}: expected one of {', '.join(known)}, got {metric!r}{nearest(metric, known)}")
    return known[metric]
