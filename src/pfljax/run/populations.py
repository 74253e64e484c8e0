"""The embedded populations of runs, each with the model that suits it: frozen dataclasses that make both."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from pfljax import data, models
from pfljax.data import Population
from pfljax.data.embedded import FEWEST_CHARACTERS, plays
from pfljax.models import losses
from pfljax.run import checks
from pfljax.types import Model


@dataclass(frozen=True)
class KeyboardConfig:
    """Next character of translated messages; a client is one (language, app). Ships with the package."""

    name: ClassVar[str] = "keyboard"

    order: Literal["entries", "catalogue"] = "entries"
    """Shuffle a client's messages before the split, or keep the source's order, which shifts topics in test."""
    min_characters: int = 200
    """Clients with less text are left out."""
    hold_out: Literal["client", "language"] = "client"
    """Whether unseen clients are drawn one by one or language by language."""
    features: int = 16
    """Numbers that stand for one character in the model."""
    hidden: int = 64
    """Width of the model's hidden layer."""

    def __post_init__(self):
        checks.whole(self, "population", FEWEST_CHARACTERS, "min_characters")
        checks.whole(self, "population", 1, "features", "hidden")

    def load(self) -> Population:
        options = {"order": self.order, "min_characters": self.min_characters, "hold_out": self.hold_out}
        return data.load("keyboard", **options)

    def model(self, population: Population) -> Model:
        return models.char_lm(population, self.features, self.hidden)


@dataclass(frozen=True)
class PlaysConfig:
    """Next character of Shakespeare's plays; a client is one role. Ships with the package."""

    name: ClassVar[str] = "plays"

    min_characters: int = 2000
    """Roles with less text are left out; 500 is the least."""
    hold_out: Literal["client", "play"] = "client"
    """Whether unseen clients are drawn one by one or play by play."""
    features: int = 16
    """Numbers that stand for one character in the model."""
    hidden: int = 64
    """Width of the model's hidden layer."""

    def __post_init__(self):
        checks.whole(self, "population", plays.FEWEST_CHARACTERS, "min_characters")
        checks.whole(self, "population", 1, "features", "hidden")

    def load(self) -> Population:
        return data.load("plays", min_characters=self.min_characters, hold_out=self.hold_out)

    def model(self, population: Population) -> Model:
        return models.char_lm(population, self.features, self.hidden)


@dataclass(frozen=True)
class WearableConfig:
    """Seven shoulder exercises from a smartwatch's motion; a client is one wrist. Ships with the package."""

    name: ClassVar[str] = "wearable"

    hidden: int = 32
    """Width of the model's hidden layer."""

    def __post_init__(self):
        checks.whole(self, "population", 1, "hidden")

    def load(self) -> Population:
        return data.load("wearable")

    def model(self, population: Population) -> Model:
        return models.mlp(population, (self.hidden,))


@dataclass(frozen=True)
class InsuranceConfig:
    """Yearly doctor visits, or medical spending, of insured people; a client is one person. Ships with the package."""

    name: ClassVar[str] = "insurance"

    target: Literal["visits", "spend"] = "visits"
    """Doctor visits in a year, or the logarithm of what their treatment costs."""
    hidden: int = 16
    """Width of the model's hidden layer."""

    def __post_init__(self):
        checks.whole(self, "population", 1, "hidden")

    def load(self) -> Population:
        return data.load("insurance", target=self.target)

    def model(self, population: Population) -> Model:
        if self.target == "spend":
            return models.regressor(population, (self.hidden,))
        visits = losses.poisson(lambda batch: batch["exposure"])
        return models.regressor(
            population, (self.hidden,), loss=visits, metrics={"deviance": losses.averaged(visits, scale=2.0)}
        )


@dataclass(frozen=True)
class PurchasesConfig:
    """How much, or how soon, a shop's customer buys next; a client is one customer. Ships with the package."""

    name: ClassVar[str] = "purchases"

    target: Literal["amount", "gap"] = "amount"
    """The logarithm of the next amount, or of the days until then."""
    hidden: int = 16
    """Width of the model's hidden layer."""

    def __post_init__(self):
        checks.whole(self, "population", 1, "hidden")

    def load(self) -> Population:
        return data.load("purchases", target=self.target)

    def model(self, population: Population) -> Model:
        return models.regressor(population, (self.hidden,))


@dataclass(frozen=True)
class LendingConfig:
    """Whether a loan will be paid back; a client is one state. Ships with the package."""

    name: ClassVar[str] = "lending"

    hidden: int = 16
    """Width of the model's hidden layer."""

    def __post_init__(self):
        checks.whole(self, "population", 1, "hidden")

    def load(self) -> Population:
        return data.load("lending")

    def model(self, population: Population) -> Model:
        made = models.mlp(population, (self.hidden,))
        return made._replace(metrics=made.metrics[::-1])  # the loss first: one loan in twenty fails, accuracy is blind


@dataclass(frozen=True)
class DigitsConfig:
    """Handwritten digits; a client is one writing form, or dealt by a Dirichlet law. Ships with the package."""

    name: ClassVar[str] = "digits"

    partition: Literal["forms", "dirichlet"] = "forms"
    """Clients are the 14 forms, or 40 with shares of the digits of their own."""
    alpha: float = 0.5
    """How alike the shares of a Dirichlet partition are: large is alike, small is few digits a client."""
    hidden: int = 32
    """Width of the model's hidden layer."""

    def __post_init__(self):
        checks.rate(self, "population", "alpha")
        checks.whole(self, "population", 1, "hidden")

    def load(self) -> Population:
        options = {"alpha": self.alpha} if self.partition == "dirichlet" else {}
        return data.load("digits", partition=self.partition, **options)

    def model(self, population: Population) -> Model:
        return models.mlp(population, (self.hidden,))


PopulationConfig = (
    KeyboardConfig | PlaysConfig | WearableConfig | InsuranceConfig | PurchasesConfig | LendingConfig | DigitsConfig
)
