"""`folder`: a population from a folder of one file per client."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from pfljax.data import split as splits
from pfljax.data.importers.columns import Columns, choose, population
from pfljax.data.importers.read import KINDS, fetch, names
from pfljax.data.importers.rows import Rows, join
from pfljax.data.population import About, Population
from pfljax.errors import PflError


def folder(
    path: str | os.PathLike[str],
    *,
    features: Sequence[str] | None = None,
    label: str | None = None,
    columns: Columns | None = None,
    time: str | None = None,
    groups: Literal["folder"] | None = None,
    split: splits.Shares = (0.6, 0.2, 0.2),
    seed: int | None = 0,
    about: About | None = None,
) -> Population:
    """A population from a folder of one npz, csv or parquet file per client, all of one kind with the same columns.

    A client's id is its file's path without the ending, "ward3/ada" for ward3/ada.csv. Hidden files are passed over.
    groups: "folder" holds out the clients of one sub-folder together
    others: `table`. An npz file's arrays may have more than one axis: take them by `columns`, or name nothing.

    Raises PflError, with file, column and row, for what is missing, damaged or does not fit.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as here:
    ...     for name in ("ada", "bob"):
    ...         np.savez(f"{here}/{name}.npz", x=np.ones((5, 28, 28), np.uint8), y=np.arange(5))
    ...     people = folder(here)
    >>> people.ids, people.arrays["x"].shape
    (('ada', 'bob'), (10, 28, 28))
    """
    path = Path(path)
    if groups not in (None, "folder"):
        raise PflError(f"groups: expected 'folder' or None, got {groups!r}")
    chosen = []

    def pick(what: str, known: tuple[str, ...]) -> tuple[str, ...]:
        chosen.append(choose(what, known, (), features, label, columns, time))
        return chosen[0].names

    rows = gather(path, pick)
    held = tuple(name.rpartition("/")[0] for name in rows.ids) if groups else None
    return population(rows, chosen[0], split, seed, about or About(name=path.name), held)


def gather(path: Path, pick: Callable[[str, tuple[str, ...]], Sequence[str]]) -> Rows:
    """The files of a folder, one under another. pick: (first file, its columns) -> the columns to read."""
    files = _files(path)
    titles = tuple(file.relative_to(path).as_posix() for file in files)
    known = names(files[0])
    wanted, parts = pick(titles[0], known), []
    for file, title in zip(files, titles, strict=True):
        mine = names(file)
        if set(mine) != set(known):
            raise PflError(f"{title}: expected the columns {_shown(known)} of {titles[0]}, got {_shown(mine)}")
        parts.append(fetch(file, wanted))
    counts = [len(next(iter(part.values()))) for part in parts]
    if not sum(counts):
        raise PflError(f"{path.name}: expected at least one row in its {len(files)} files, got none")
    return Rows(
        {name: join(name, [part[name] for part in parts], titles) for name in wanted},
        np.repeat(np.arange(len(files)), counts),
        tuple(title.removesuffix(file.suffix) for file, title in zip(files, titles, strict=True)),
        titles,
    )


def _files(path: Path) -> list[Path]:
    """Sorted by id. Raises PflError unless there are some, of one kind, named in UTF-8."""
    if not path.is_dir():
        raise PflError(f"{path}: expected a folder of one file per client, got {'a file' if path.exists() else 'none'}")
    found = [
        file
        for file in path.rglob("*")
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts)
    ]
    files = sorted(found, key=lambda file: file.relative_to(path).with_suffix("").as_posix())
    if not files:
        raise PflError(f"{path}: expected one file per client, got an empty folder")
    for file in files:
        if file.suffix.lower() not in KINDS:
            raise PflError(f"{file.name}: expected a client's file, {', '.join(KINDS)}, got another; move it away")
        if file.suffix.lower() != files[0].suffix.lower():
            raise PflError(
                f"{path.name}: expected files of one kind, got {files[0].name} and {file.name}; keep one kind"
            )
        try:
            file.relative_to(path).as_posix().encode()
        except UnicodeEncodeError as error:
            raise PflError(f"{str(file)!r}: expected a name in UTF-8, got other bytes; rename it") from error
    return files


def _shown(columns: Sequence[str]) -> str:
    return ", ".join(sorted(columns))
