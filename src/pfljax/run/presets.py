"""The runs that have a name: `pfljax run keyboard`, `pfljax run wearable`, one for every embedded population."""

from dataclasses import replace
from typing import NamedTuple

from pfljax.errors import PflError, nearest
from pfljax.run.config import AdaptConfig, LocalConfig, RunConfig, WarmupConfig
from pfljax.run.methods import DittoConfig, FinetuneConfig, MethodConfig, PerFedAvgConfig
from pfljax.run.populations import WearableConfig


class Preset(NamedTuple):
    """A population's run and its defaults for every algorithm. The run's own algorithm is the first one."""

    about: str
    run: RunConfig
    algorithms: tuple[MethodConfig, ...]

    def config(self, algorithm: str | None = None) -> RunConfig:
        """The run with the algorithm of that name; PflError if there is none."""
        if algorithm is None:
            return self.run
        known = {each.name: each for each in self.algorithms}
        name = algorithm.replace("-", "_")
        if name not in known:
            raise PflError(f"algorithm: expected one of {', '.join(known)}, got {algorithm!r}{nearest(name, known)}")
        return replace(self.run, algorithm=known[name])


def preset(about: str, run: RunConfig, ditto: DittoConfig) -> Preset:
    return Preset(about, run, (run.algorithm, ditto, FinetuneConfig()))


PRESETS = {
    "keyboard": preset("664 clients, about a minute on two cores", RunConfig(), DittoConfig()),
    "wearable": preset(
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
        DittoConfig(lr=0.3, batch=32),
    ),
}
DEFAULT = "keyboard"
