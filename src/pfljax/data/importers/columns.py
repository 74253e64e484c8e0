"""Which columns are used for what, and how rows become a `Population`: what every importer of tables ends in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from pfljax.data import split as splits
from pfljax.data.importers import cells
from pfljax.data.importers.read import lacks
from pfljax.data.importers.rows import Rows
from pfljax.data.memory import aligned
from pfljax.data.population import About, Population
from pfljax.errors import PflError

Columns = Sequence[str] | Mapping[str, str]  # names, or {name of the array: column}


@dataclass(frozen=True)
class Choice:
    """Which columns are used for what.

    features: stacked into "x"; label: becomes "y"; columns: {name of the array: column}; time: rows are sorted by it
    """

    features: tuple[str, ...]
    label: str | None
    columns: Mapping[str, str]
    time: str | None

    @property
    def names(self) -> tuple[str, ...]:
        """Every column in use, once."""
        single = [name for name in (self.label, self.time) if name is not None]
        return tuple(dict.fromkeys(chain(self.features, self.columns.values(), single)))


def choose(
    what: str,
    known: Sequence[str],
    keys: Sequence[str],
    features: Sequence[str] | None,
    label: str | None,
    columns: Columns | None,
    time: str | None,
) -> Choice:
    """The columns to use. Where neither features, label nor columns are given: all that are not keys or time.

    Raises PflError, with the nearest name, for one that is not there.
    """
    if columns is None:
        is_open = features is None and label is None
        columns = [name for name in known if is_open and name not in (*keys, time)]
    if not isinstance(columns, Mapping):
        columns = {name: name for name in listed(columns)}
    choice = Choice(listed(features or ()), label, dict(columns), time)
    for name in (*keys, *choice.names):
        if name not in known:
            raise lacks(what, name, known)
    for name, is_taken in (("x", bool(choice.features)), ("y", label is not None)):
        if is_taken and name in columns:
            raise PflError(f"columns: expected none called {name!r} beside features and label, got one; rename it")
    if not (choice.features or columns or label is not None):
        raise PflError(f"{what}: expected columns with features, labels or others, got {', '.join(known)}")
    return choice


def population(
    rows: Rows,
    choice: Choice,
    split: splits.Shares,
    seed: int | None,
    about: About,
    groups: Sequence[str] | None,
) -> Population:
    """Rows in any order as a population: each client's lie together, in time order or shuffled by the seed.

    Raises PflError with file, column, row and client for a value that is missing or does not fit.
    """
    splits.check(split, seed)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(rows.codes, minlength=len(rows.ids)))])
    if choice.time is not None:
        order = np.lexsort((cells.moments(rows, choice.time), rows.codes))
    else:
        order = np.argsort(rows.codes, kind="stable")
        order = order if seed is None else order[splits.order(rows.ids, offsets, seed)]
    arrays = {}
    if choice.features:
        arrays["x"] = cells.stacked(rows, choice.features, order)
    if choice.label is not None:
        labels, num_classes = cells.labels(rows, choice.label, about.num_classes)
        arrays["y"] = aligned(labels[order])
        about = replace(about, num_classes=num_classes)
    for name, column in choice.columns.items():
        arrays[name] = aligned(cells.narrow(rows, column, cells.numbers(rows, column))[order])
    return Population.from_flat(arrays, offsets, rows.ids, split, None, groups=groups, about=about)


def listed(names: str | Sequence[str]) -> tuple[str, ...]:
    """One name or several, as several."""
    return (names,) if isinstance(names, str) else tuple(names)
