"""The personalized algorithm of a run: frozen dataclasses that build it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import jax
import optax

from pfljax.algorithms import ditto, fedavg_finetune, per_fedavg
from pfljax.local import paths
from pfljax.run import checks
from pfljax.types import Algorithm, Model

if TYPE_CHECKING:
    from pfljax.run.config import RunConfig


@dataclass(frozen=True)
class PerFedAvgConfig:
    """Per-FedAvg: federated MAML (Fallah et al., NeurIPS 2020)."""

    name: ClassVar[str] = "per_fedavg"
    title: ClassVar[str] = "MAML personalized"

    lr: float = 0.5
    """Learning rate of the meta-steps (the paper's beta)."""
    inner_lr: float = 0.3
    """Learning rate of the inner loop, and of the adaptation in evaluation (the paper's alpha)."""
    inner_steps: int = 3
    """Steps of the inner loop."""
    order: Literal["exact", "first", "hessian_free"] = "exact"
    """Exact second-order gradients, first-order ones, or differences of gradients."""
    adapt: str | None = None
    """The parameters that adapt, as a path pattern such as "head/*"; None is all."""
    steps: int = 8
    """Meta-steps of a client in a round."""
    batch: int = 64
    """Examples in a support batch and in a query batch."""

    def __post_init__(self):
        checks.rate(self, "algorithm", "lr", "inner_lr")
        checks.whole(self, "algorithm", 1, "inner_steps", "steps", "batch")

    def build(self, model: Model, run: "RunConfig") -> Algorithm:
        if self.adapt is not None:
            paths.mask(jax.eval_shape(model.init, jax.random.key(0)).params, self.adapt)  # refused before training
        return per_fedavg(
            model,
            optax.sgd(self.lr),
            inner_lr=self.inner_lr,
            inner_steps=self.inner_steps,
            order=self.order,
            adapt=self.adapt,
            steps=self.steps,
            batch=self.batch,
            weighting=run.warmup.weighting,
        )


@dataclass(frozen=True)
class DittoConfig:
    """Ditto: each client's own model, pulled towards the shared one (Li et al., ICML 2021)."""

    name: ClassVar[str] = "ditto"
    title: ClassVar[str] = "Ditto personalized"

    lr: float = 1.0
    """Learning rate of the shared model."""
    personal_lr: float = 0.3
    """Learning rate of a client's own model, in training and in evaluation."""
    lam: float = 0.1
    """The pull of the own model towards the shared one; 0 is local training."""
    steps: int = 20
    """SGD steps of a client in a round, for either model."""
    batch: int = 64
    """Examples in a step."""

    def __post_init__(self):
        checks.rate(self, "algorithm", "lr", "personal_lr")
        checks.strength(self, "algorithm", "lam")
        checks.whole(self, "algorithm", 1, "steps", "batch")

    def build(self, model: Model, run: "RunConfig") -> Algorithm:
        return ditto(
            model,
            optax.sgd(self.lr),
            lam=self.lam,
            personal_opt=optax.sgd(self.personal_lr),
            steps=self.steps,
            batch=self.batch,
            weighting=run.warmup.weighting,
        )


@dataclass(frozen=True)
class FinetuneConfig:
    """FedAvg, then fine-tuning (Jiang et al., 2019): trains as --warmup says, adapts as --adapt says."""

    name: ClassVar[str] = "fedavg_finetune"
    title: ClassVar[str] = "FedAvg fine-tuned"

    def build(self, model: Model, run: "RunConfig") -> Algorithm:
        return fedavg_finetune(
            model,
            optax.sgd(run.warmup.lr),
            personal_opt=optax.sgd(run.adapt.lr),
            personal_batch=run.adapt.batch,
            **run.warmup.local_work,
        )


MethodConfig = PerFedAvgConfig | DittoConfig | FinetuneConfig
