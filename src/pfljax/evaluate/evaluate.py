"""Per client first, summaries after: is the personal model better, for whom, and than what?"""

from dataclasses import dataclass

import jax
import numpy as np

from pfljax.data.population import Population
from pfljax.engine.place import Placed
from pfljax.engine.result import Result
from pfljax.engine.stream import Stream, examples_of
from pfljax.evaluate.baselines import alone, constant, donors, has_constant, shared
from pfljax.evaluate.curve import MARKS, Curve, curve
from pfljax.local import Optimizer


@dataclass(frozen=True, eq=False)
class Entry:
    """One line of a comparison: a curve, and where each client reads it. index: [client] positions in curve.marks."""

    name: str
    curve: Curve
    index: np.ndarray

    @staticmethod
    def chosen(name: str, curve: Curve, result: Result) -> "Entry":
        """The entry at the number of steps that seen clients' validation rows choose, one for everybody.

        Where clients keep state, unseen ones start from elsewhere than seen ones, who are half adapted already: then
        each group has a number of its own, chosen on its own validation rows.
        """
        seen, index = result.seen, np.zeros(len(result.seen), int)
        if not jax.tree.leaves(result.clients.kept):
            return Entry(name, curve, index + curve.choose(seen))
        for group in filter(np.any, (seen, ~seen)):
            index[group] = curve.choose(group)
        return Entry(name, curve, index)

    @property
    def steps(self) -> np.ndarray:
        """[client]: adaptation steps."""
        return np.asarray(self.curve.marks)[self.index]

    def test(self, metric: str | None = None) -> np.ndarray:
        """[client] test figures."""
        figures = self.curve.values["test"][metric or self.curve.metric]
        return figures[self.index, np.arange(figures.shape[1])]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Entries over the same clients. `against` names the entry that "hurt" compares with.

    ids: [client]; seen: [client] bool; weights: [client] test rows
    """

    entries: tuple[Entry, ...]
    against: str
    ids: tuple[str, ...]
    seen: np.ndarray
    weights: np.ndarray

    @property
    def metric(self) -> str:
        return self.entries[0].curve.metric

    def entry(self, name: str) -> Entry:
        return next(entry for entry in self.entries if entry.name == name)

    def hurt(self, name: str) -> np.ndarray:
        """[client] bool: strictly worse off than with the entry `against`."""
        mine, other = self.entry(name).test(), self.entry(self.against).test()
        return mine < other if self.entry(name).curve.better[self.metric] == "higher" else mine > other

    def figures(self, name: str, is_seen: bool, metric: str | None = None) -> dict[str, float]:
        """mean, example-weighted mean, std, 10th and 90th percentile, worst client, share of clients hurt."""
        entry, group = self.entry(name), self.seen == is_seen
        values, weights = entry.test(metric)[group], self.weights[group]
        known = ~np.isnan(values)
        values, weights = values[known], weights[known]
        if not len(values):
            return {}
        worst = np.min if entry.curve.better[metric or self.metric] == "higher" else np.max
        with np.errstate(invalid="ignore"):  # a diverged client's figure is infinite, and so are the spreads then
            return self._summary(name, group, known, values, weights, worst)

    def _summary(self, name, group, known, values, weights, worst) -> dict[str, float]:
        return {
            "mean": float(values.mean()),
            "weighted_mean": float(np.average(values, weights=weights)),
            "std": float(values.std()),
            "p10": float(np.percentile(values, 10)),
            "p90": float(np.percentile(values, 90)),
            "worst": float(worst(values)),
            "hurt": float(self.hurt(name)[group][known].mean()),
        }

    def steps(self, name: str, is_seen: bool) -> int:
        """The adaptation steps chosen for a group of clients."""
        return int(self.entry(name).steps[self.seen == is_seen][0])

    def rows(self) -> list[dict]:
        """One dict per entry and group of clients: what `summary` prints and `summary.json` holds."""
        return [
            {"model": name, "clients": label, "steps": self.steps(name, is_seen), **self.figures(name, is_seen)}
            for name in (entry.name for entry in self.entries)
            for label, is_seen in (("seen", True), ("unseen", False))
            if (self.seen == is_seen).any()
        ]

    def summary(self) -> str:
        """The rows as a plain-text table."""
        columns = ("model", "clients", "steps", "mean", "weighted_mean", "std", "p10", "p90", "worst", "hurt")
        show = lambda value: f"{value:.3f}" if isinstance(value, float) else str(value)
        table = [columns] + [[show(row.get(column, "")) for column in columns] for row in self.rows()]
        widths = [max(len(line[i]) for line in table) for i in range(len(columns))]
        lines = [
            "  ".join(
                cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
            )
            for line in table
        ]
        head = (
            f"test {self.metric} per client; steps chosen on seen clients' validation; hurt: worse than {self.against}"
        )
        return "\n".join([head, *lines])


def evaluate(
    result: Result,
    population: Population,
    marks: tuple[int, ...] = MARKS,
    *,
    local_opt: Optimizer | None = None,
    local_batch: int | None = 32,
    local_marks: tuple[int, ...] | None = None,
) -> Evaluation:
    """Compares the shared model, the personalized one, local-only training and two controls, on every client.

    marks: the numbers of adaptation steps to choose from; local_opt, local_batch, local_marks: the local-only
    baseline. Controls: the constant prediction (where `y` holds classes or floats) and `donor`, the personalization
    run on another client's data, which should not help.
    """
    seen, examples = result.seen, examples_of(population, result.mesh, result.examples)
    compared = {
        "local only": (alone(result, local_opt, local_batch), local_marks or marks),
        "shared": (shared(result), (0,)),
        "personalized": (result, marks),
    }
    if has_constant(population):
        compared = {"constant": (constant(result, population), (0,))} | compared
    entries = [
        Entry.chosen(name, curve(each, population, its_marks, examples=examples), each)
        for name, (each, its_marks) in compared.items()
    ]
    entries.append(donor("donor", result, population, entries[-1], examples))
    return Evaluation(tuple(entries), "shared", result.ids, seen, population.sizes("test"))


def donor(
    name: str, result: Result, population: Population, like: Entry, examples: Placed | Stream | None = None
) -> Entry:
    """The control: as many steps as `like` takes, but on another client's data."""
    marks = tuple(sorted({int(steps) for steps in like.steps}))
    made = curve(result, population, marks, teachers=donors(result), name=name, examples=examples)
    return Entry(name, made, np.searchsorted(marks, like.steps))
