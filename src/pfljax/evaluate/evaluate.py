"""Per client first, summaries after: is the personal model better, for whom, and than what?"""

from dataclasses import dataclass

import numpy as np

from pfljax.algorithms.local_only import local_only
from pfljax.data.population import Population
from pfljax.engine.result import Result
from pfljax.evaluate.baselines import constant, donors, shared, untrained
from pfljax.evaluate.curve import MARKS, Curve, curve
from pfljax.local import Optimizer


@dataclass(frozen=True, eq=False)
class Entry:
    """One line of a comparison: a curve, read at the mark that seen clients' validation rows chose."""

    name: str
    curve: Curve
    index: int

    @property
    def steps(self) -> int:
        return self.curve.marks[self.index]

    def test(self, metric: str | None = None) -> np.ndarray:
        """[client] test figures."""
        return self.curve.at(self.index, "test", metric)


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
        return {
            "mean": float(values.mean()),
            "weighted_mean": float(np.average(values, weights=weights)),
            "std": float(values.std()),
            "p10": float(np.percentile(values, 10)),
            "p90": float(np.percentile(values, 90)),
            "worst": float(worst(values)),
            "hurt": float(self.hurt(name)[group][known].mean()),
        }

    def rows(self) -> list[dict]:
        """One dict per entry and group of clients: what `summary` prints and `summary.json` holds."""
        return [
            {"model": entry.name, "clients": label, "steps": entry.steps, **self.figures(entry.name, is_seen)}
            for entry in self.entries
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
    baseline. Controls: the constant prediction (where `y` holds classes) and `donor`, the personalization run on
    another client's data, which should not help.
    """
    seen = result.seen
    alone = untrained(result, local_only(result.algorithm.model, local_opt, steps=1, batch=local_batch))
    curves = [
        ("local only", curve(alone, population, local_marks or marks)),
        ("shared", curve(shared(result), population, (0,))),
        ("personalized", curve(result, population, marks)),
    ]
    entries = [Entry(name, made, made.choose(seen)) for name, made in curves]
    steps = entries[-1].steps
    entries.append(Entry("donor", curve(result, population, (steps,), teachers=donors(result)), 0))
    labels = population.arrays.get("y")
    if labels is not None and labels.dtype.kind in "iu" and labels.ndim == 1 and population.about.num_classes:
        entries.insert(0, Entry("constant", curve(constant(result, population), population, (0,)), 0))
    return Evaluation(tuple(entries), "shared", result.ids, seen, population.sizes("test"))
