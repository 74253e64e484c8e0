"""`table`: a population from one table with a column that says whose row it is."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pfljax.data import split as splits
from pfljax.data.importers import cells
from pfljax.data.importers.cells import is_text, plain
from pfljax.data.importers.columns import Columns, choose, listed, population
from pfljax.data.importers.folder import gather
from pfljax.data.importers.read import Column, fetch, lacks, names, title
from pfljax.data.importers.rows import Rows
from pfljax.data.population import About, Population
from pfljax.errors import PflError


def table(
    source: Any,
    client: str | Sequence[str],
    *,
    features: Sequence[str] | None = None,
    label: str | None = None,
    columns: Columns | None = None,
    time: str | None = None,
    group: str | None = None,
    split: splits.Shares = (0.6, 0.2, 0.2),
    seed: int | None = 0,
    about: About | None = None,
) -> Population:
    """A population from one table: the path of a csv, parquet or npz file, a pandas or polars frame, {name: array}.

    client:   the column of client ids, text or whole numbers; several are joined by "/"
    features: columns of one number a row, stacked into x: [row, feature] f32
    label:    becomes y: [row]; whole numbers and booleans are classes (i32), text is numbered in sorted order (see
              `classes`), floats stay targets (f32). `about.num_classes` is counted unless `about` states it
    columns:  further columns under their own names, or {name of the array: column}; lists of one length are stacked.
              64-bit numbers become 32-bit ones, others stay. Where neither features, label nor columns are given,
              all columns are taken
    time:     a column of numbers or dates: each client's rows are cut in its order and never shuffled, whatever the
              seed; rows of one time stay as they stand
    group:    a column; clients of one group are held out together
    others:   `Population.from_clients`

    Clients stand in the order of their ids, so that the order of a table's rows matters only where there is no time.
    Raises PflError, with column, row (from 0) and client, for what is missing or does not fit.

    >>> visits = {"who": ["ada", "bob", "ada", "bob"], "age": [30, 41, 31, 42], "ill": ["no", "yes", "no", "no"]}
    >>> people = table(visits, client="who", features=["age"], label="ill", time="age")
    >>> people.client("bob")["y"], people.about.num_classes, classes(visits, "ill")
    (array([1], dtype=int32), 2, ('no', 'yes'))
    """
    what, known, keys = title(source), names(source), listed(client)
    if not keys:
        raise PflError("client: expected a column or several, got none")
    text = keys if group is None else (*keys, group)
    choice = choose(what, known, text, features, label, columns, time)
    fetched = fetch(source, tuple(dict.fromkeys((*text, *choice.names))), text)
    if not len(fetched[keys[0]]):
        raise PflError(f"{what}: expected at least one row, got none")
    ids, codes = _clients(what, keys, [fetched[key] for key in keys])
    rows = Rows(fetched, codes, ids, (what,))
    groups = None if group is None else cells.groups(rows, group)
    if both := [name for name in choice.names if name in text]:  # words above, numbers below
        rows = replace(rows, columns=fetched | fetch(source, both))
    return population(rows, choice, split, seed, named(source, about), groups)


def classes(source: Any, label: str) -> tuple[str, ...]:
    """The names of a text label's classes, in the order in which `table` and `folder` number them.

    source: what either of them reads. Raises PflError for a column that is no text.
    """

    def pick(what: str, known: Sequence[str]) -> tuple[str, ...]:
        if label not in known:
            raise lacks(what, label, known)
        return (label,)

    if isinstance(source, str | os.PathLike) and Path(source).is_dir():
        column = gather(Path(source), pick).columns[label]
    else:
        column = fetch(source, pick(title(source), names(source)))[label]
    if isinstance(column, np.ndarray) or not is_text(plain(column).type):
        kind = column.dtype if isinstance(column, np.ndarray) else column.type
        raise PflError(f"{title(source)}, column {label!r}: expected text, got {kind}; such classes have no names")
    return cells.words(_place(title(source), label), column)[0]


def named(source: Any, about: About | None) -> About:
    """What a population is, called after its file where nothing is said."""
    is_path = about is None and isinstance(source, str | os.PathLike)
    return replace(About(), name=Path(source).stem) if is_path else about or About()


def _clients(what: str, keys: Sequence[str], found: Sequence[Column]) -> tuple[tuple[str, ...], np.ndarray]:
    """(ids in sorted order, [row] int64 whose row it is) of one column or several."""
    ids, codes = cells.words(_place(what, keys[0]), found[0])
    for key, column in zip(keys[1:], found[1:], strict=True):
        known, more = cells.words(_place(what, key), column)
        pairs, codes = np.unique(codes * len(known) + more, return_inverse=True)
        ids = tuple(f"{ids[pair // len(known)]}/{known[pair % len(known)]}" for pair in pairs.tolist())
    return ids, codes


def _place(what: str, name: str) -> Callable[[int], str]:
    return lambda row: f"{what}, column {name!r}, row {row}"
