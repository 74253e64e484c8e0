"""What a run is: frozen dataclasses, checked when they are made. Their fields are the command line's options."""

from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal

from pfljax.algorithms.fedavg import Weighting
from pfljax.errors import PflError
from pfljax.run import checks
from pfljax.run.methods import MethodConfig, PerFedAvgConfig
from pfljax.run.populations import KeyboardConfig, PopulationConfig


@dataclass(frozen=True)
class WarmupConfig:
    """FedAvg: the warm start of every method, and what it is compared with after as many rounds more."""

    lr: float = 1.0
    """Learning rate of a client's SGD."""
    steps: int = 20
    """SGD steps of a client in a round."""
    batch: int = 64
    """Examples in a step."""
    weighting: Weighting = "uniform"
    """Whether clients count alike or by their examples."""

    def __post_init__(self):
        checks.rate(self, "warmup", "lr")
        checks.whole(self, "warmup", 1, "steps", "batch")

    @property
    def local_work(self) -> dict[str, Any]:
        return {"steps": self.steps, "batch": self.batch, "weighting": self.weighting}


@dataclass(frozen=True)
class AdaptConfig:
    """Evaluation: how a client makes a trained model its own. The number of steps is chosen on validation."""

    lr: float = 0.3
    """Learning rate of fine-tuning; per_fedavg adapts with --algorithm.inner-lr, ditto with its own rate."""
    batch: int = 64
    """Examples in a step of fine-tuning; the algorithms adapt with their own."""
    most_steps: int = 100
    """The most steps to choose from."""

    def __post_init__(self):
        checks.rate(self, "adapt", "lr")
        checks.whole(self, "adapt", 1, "batch", "most_steps")


@dataclass(frozen=True)
class LocalConfig:
    """The local-only baseline: every client trains alone from the common start."""

    lr: float = 1.0
    """Learning rate of SGD."""
    batch: int = 64
    """Examples in a step."""
    most_steps: int = 200
    """The most steps to choose from."""

    def __post_init__(self):
        checks.rate(self, "local", "lr")
        checks.whole(self, "local", 1, "batch", "most_steps")


@dataclass(frozen=True)
class EngineConfig:
    """How the rounds are executed. Nothing here changes results beyond the last bits of sums."""

    width: int | Literal["auto", "measure"] = "auto"
    """Clients side by side on one device: a number, a rule on CPUs and a measurement elsewhere, or a measurement."""
    devices: int | None = None
    """Devices to use; None is all."""
    processes: Literal["one", "cluster"] = "one"
    """Run alone, or as one of the processes that the environment describes (pfljax.use_processes)."""
    reduction: Literal["fast", "ordered"] = "fast"
    """Sum floats, or integers that give the same bits on any number of devices (at one width)."""
    examples: Literal["auto", "resident", "streamed"] = "auto"
    """Keep examples on the devices, bring each block's along, or stream only what does not fit."""
    state: Literal["auto", "device", "host"] = "auto"
    """Keep what clients remember on the devices, on the host, or on the host only what does not fit."""

    def __post_init__(self):
        for name in ("width", "devices"):
            if isinstance(getattr(self, name), int):
                checks.whole(self, "engine", 1, name)


@dataclass(frozen=True)
class CheckpointConfig:
    """What a run leaves on disk while it trains, for `pfljax run --resume DIR` to go on from."""

    every: float = 60.0
    """Seconds between saves, each at the end of a block; every phase is saved at its end too. 0 saves every block."""
    keep: int = 3
    """Checkpoints of a phase that stay, the newest ones."""
    best: str | None = None
    """The validation metric (of --eval-every) whose best checkpoint of each phase stays too; None keeps none."""

    def __post_init__(self):
        checks.strength(self, "checkpoint", "every")
        checks.whole(self, "checkpoint", 1, "keep")


@dataclass(frozen=True)
class RunConfig:
    """One comparison: FedAvg warm start, personalized rounds, FedAvg rounds beside them, evaluation."""

    population: PopulationConfig = field(default_factory=KeyboardConfig)
    rounds: int = 40
    """Personalized rounds; FedAvg is trained on for as many, from the same warm start."""
    warmup_rounds: int = 300
    """FedAvg rounds before them; 0 trains every method from the initial model."""
    cohort: int = 32
    """Clients that train in a round."""
    unseen: float = 0.2
    """The share of clients that is never trained on."""
    eval_every: int | None = None
    """Rounds between looks at the shared model on seen clients' validation rows; None never looks."""
    seed: int = 0
    """Decides who is unseen, who is sampled, how models start and batches fall."""
    out: str | None = None
    """The run folder, new or empty; default runs/<population>-<time>."""
    on_nonfinite: Literal["stop", "drop"] = "stop"
    """End the run at an update that is not finite, or leave such updates out."""
    warmup: WarmupConfig = field(default_factory=WarmupConfig)
    algorithm: MethodConfig = field(default_factory=PerFedAvgConfig)
    adapt: AdaptConfig = field(default_factory=AdaptConfig)
    local: LocalConfig = field(default_factory=LocalConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)

    def __post_init__(self):
        checks.whole(self, "", 1, "rounds", "cohort")
        checks.whole(self, "", 0, "warmup_rounds", "seed")
        if self.seed >= 2**31:
            raise PflError(f"--seed: expected a whole number below 2147483648, got {self.seed}; lower it")
        if not 0 <= self.unseen < 1:
            raise PflError(f"--unseen: expected a share in [0, 1), got {self.unseen}; try 0.2")
        self._check_validation()

    def _check_validation(self) -> None:
        if self.eval_every is None:
            if self.checkpoint.best is not None:
                raise PflError(
                    f"--checkpoint.best: expected --eval-every beside it, got {self.checkpoint.best!r} alone; add it"
                )
            return
        checks.whole(self, "", 1, "eval_every")
        shortest = min(filter(None, (self.warmup_rounds, self.rounds)))
        if self.eval_every > shortest:
            raise PflError(
                f"--eval-every: expected at most {shortest}, the rounds of the shortest phase, got {self.eval_every}; "
                "lower it"
            )


def plain(config: Any) -> Any:
    """A configuration as dicts of numbers and strings, with the names of its parts, for manifests."""
    if not is_dataclass(config):
        return config
    name = getattr(config, "name", None)
    named = {} if name is None else {"name": name}
    return named | {each.name: plain(getattr(config, each.name)) for each in fields(config)}


def options(config: Any, section: str = "") -> dict[str, Any]:
    """{option: value} of a configuration, e.g. {"--warmup.lr": 1.0}."""
    found = {}
    for each in fields(config):
        value = getattr(config, each.name)
        if is_dataclass(value):
            found |= options(value, f"{section}.{each.name}".lstrip("."))
        else:
            found[checks.flag(section, each.name)] = value
    return found
