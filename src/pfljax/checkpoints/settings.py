"""Where a run is saved, how often, and how much of it stays."""

import math
import os
from dataclasses import dataclass

from pfljax.errors import PflError, whole


@dataclass(frozen=True)
class Checkpoints:
    """A folder that a run is saved to while it trains, and goes on from if it has been there before.

    folder: new, empty, or of the same run; one run at a time
    every:  seconds between saves, each at the end of a block; one more at the end of the run. 0 saves every block
    keep:   how many stay, the newest ones
    best:   the validation metric (of `eval_every`) whose best checkpoint stays too, saved as it is met; None is none

    Raises PflError for values outside these.

    >>> Checkpoints("runs/first", every=600)
    Checkpoints(folder='runs/first', every=600, keep=3, best=None)
    """

    folder: str | os.PathLike[str]
    every: float = 60.0
    keep: int = 3
    best: str | None = None

    def __post_init__(self):
        if not isinstance(self.folder, str | os.PathLike) or os.fspath(self.folder) in ("", b""):
            raise PflError(f"checkpoints.folder: expected the name of a folder, got {self.folder!r}")
        if isinstance(self.every, bool) or not isinstance(self.every, int | float) or not 0 <= self.every < math.inf:
            raise PflError(f"checkpoints.every: expected seconds, at least 0, got {self.every!r}; try 60")
        whole("checkpoints.keep", self.keep)
        if self.best is not None and not isinstance(self.best, str):
            raise PflError(f"checkpoints.best: expected the name of a metric, e.g. 'loss', or None, got {self.best!r}")
