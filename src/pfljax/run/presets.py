"""The runs that have a name: `pfljax run keyboard`, `pfljax run wearable`, one for every embedded population."""

from dataclasses import replace
from typing import NamedTuple

from pfljax import algorithms
from pfljax.errors import PflError, nearest
from pfljax.run.config import AdaptConfig, LocalConfig, RunConfig, WarmupConfig
from pfljax.run.methods import DittoConfig, FinetuneConfig, MethodConfig, PerFedAvgConfig
from pfljax.run.populations import (
    DigitsConfig,
    InsuranceConfig,
    LendingConfig,
    PlaysConfig,
    PurchasesConfig,
    WearableConfig,
)


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
            hint = nearest(name, known)
            if name in algorithms.__all__:
                hint = f"; in a script it is pfl.simulate(pfl.algorithms.{name}(model), population, ...)"
            raise PflError(f"algorithm: expected one of {', '.join(known)}, got {algorithm!r}{hint}")
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
    "insurance": preset(
        "5,397 people, half a minute",
        RunConfig(
            population=InsuranceConfig(),
            rounds=60,
            warmup_rounds=300,
            cohort=200,
            warmup=WarmupConfig(lr=0.1, steps=1, batch=4),
            algorithm=PerFedAvgConfig(lr=0.1, inner_lr=0.02, inner_steps=1, steps=1, batch=4),
            adapt=AdaptConfig(lr=0.02, batch=4, most_steps=20),
            local=LocalConfig(lr=0.05, batch=4, most_steps=20),
        ),
        DittoConfig(lr=0.1, personal_lr=0.02, steps=1, batch=4),
    ),
    "purchases": preset(
        "3,835 customers, half a minute",
        RunConfig(
            population=PurchasesConfig(),
            rounds=60,
            warmup_rounds=300,
            cohort=200,
            warmup=WarmupConfig(lr=0.1, steps=1, batch=8),
            algorithm=PerFedAvgConfig(lr=0.1, inner_lr=0.02, inner_steps=1, steps=1, batch=8),
            adapt=AdaptConfig(lr=0.02, batch=8, most_steps=20),
            local=LocalConfig(lr=0.1, batch=8, most_steps=20),
        ),
        DittoConfig(lr=0.1, personal_lr=0.02, steps=1, batch=8),
    ),
    "digits": preset(
        "14 writing forms, some seconds",
        RunConfig(
            population=DigitsConfig(),
            rounds=60,
            warmup_rounds=150,
            cohort=10,
            warmup=WarmupConfig(lr=0.3, steps=10, batch=16),
            algorithm=PerFedAvgConfig(lr=0.1, inner_lr=0.1, inner_steps=1, steps=5, batch=16),
            adapt=AdaptConfig(lr=0.1, batch=16),
            local=LocalConfig(lr=0.3, batch=16),
        ),
        DittoConfig(lr=0.3, personal_lr=0.1, steps=10, batch=16),
    ),
    "plays": preset("455 roles, three quarters of a minute", RunConfig(population=PlaysConfig()), DittoConfig()),
    "lending": preset(
        "50 states, some seconds",
        RunConfig(
            population=LendingConfig(),
            rounds=60,
            warmup_rounds=150,
            cohort=16,
            warmup=WarmupConfig(lr=0.1, steps=5, batch=32, weighting="examples"),
            algorithm=PerFedAvgConfig(lr=0.05, inner_lr=0.02, inner_steps=1, steps=5, batch=32),
            adapt=AdaptConfig(lr=0.02, batch=32, most_steps=40),
            local=LocalConfig(lr=0.05, batch=32, most_steps=40),
        ),
        DittoConfig(lr=0.1, personal_lr=0.02, steps=5, batch=32),
    ),
}
DEFAULT = "keyboard"
