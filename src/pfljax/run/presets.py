"""The runs that have a name: `pfljax run keyboard` and `pfljax run wearable`."""

from dataclasses import replace
from typing import NamedTuple

from pfljax.errors import PflError, nearest
from pfljax.run.config import (
    AdaptConfig,
    DittoConfig,
    FinetuneConfig,
    KeyboardConfig,
    LocalConfig,
    PerFedAvgConfig,
    RunConfig,
    WarmupConfig,
    WearableConfig,
)


class Preset(NamedTuple):
    """A population's run and its defaults for every algorithm. The run's own algorithm is the first one."""

    about: str
    run: RunConfig
    algorithms: tuple[PerFedAvgConfig | DittoConfig | FinetuneConfig, ...]

    def config(self, algorithm: str | None = None) -> RunConfig:
        """The run with the algorithm of that name; PflError if there is none."""
        if algorithm is None:
            return self.run
        known = {each.name: each for each in self.algorithms}
        name = algorithm.replace("-", "_")
        if name not in known:
            raise PflError(f"algorithm: expected one of {', '.join(known)}, got {algorithm!r}{nearest(name, known)}")
        return replace(self.run, algorithm=known[name])


PRESETS = {
    "keyboard": Preset(
        "664 clients, about a minute on two cores",
        RunConfig(population=KeyboardConfig()),
        (PerFedAvgConfig(), DittoConfig(), FinetuneConfig()),
    ),
    "wearable": Preset(
        "20 clients, some seconds",
        RunConfig(
            population=WearableConfig(),
            rounds=100,
            warmup_rounds=150,
            cohort=16,
            warmup=WarmupConfig(lr=0.3, batch=32),
            algorithm=PerFedAvgConfig(lr=0.1, inner_lr=0.1, batch=32),
            adapt=AdaptConfig(lr=0.1, batch=32),
            local=LocalConfig(lr=0.3, batch=32),
        ),
        (PerFedAvgConfig(lr=0.1, inner_lr=0.1, batch=32), DittoConfig(lr=0.3, batch=32), FinetuneConfig()),
    ),
}
DEFAULT = "keyboard"
