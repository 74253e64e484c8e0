"""Clients in a train and a test file become one `Population`: what the importers of federated formats end in."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np

from pfljax import keys
from pfljax.data import split as splits
from pfljax.data.embedded.runs import edges, ranges
from pfljax.data.memory import empty
from pfljax.data.population import About, Population
from pfljax.errors import PflError, nearest, whole

Incomplete = Literal["refuse", "leave out", "cut"]
Table = dict[str, np.ndarray]  # {name: [row, ...]}
New = Callable[[str, tuple[int, ...], np.dtype], np.ndarray]


class Cut(NamedTuple):
    """How clients' rows become train, validation and test.

    split:      shares; rows of a train file are cut in the proportion split[0] : split[1], rows of a test file are all
                test. Without a test file each client's rows are cut by all three
    seed:       shuffles what is cut, as `Population.from_clients` does; None keeps the file's order
    incomplete: what is done about clients with rows in one of two files only: "refuse" the files, "leave out" these
                clients, or "cut" their rows by all three shares
    min_rows:   clients with fewer rows (lines, where these are what is cut), in both files together, are left out
    """

    split: splits.Shares
    seed: int | None
    incomplete: Incomplete
    min_rows: int


class File(NamedTuple):
    """One file of clients, still to be read.

    name:  for messages
    rows:  {client id: number of rows}
    read:  client id -> that client's table, of so many rows
    units: {client id: [unit] number of rows}: runs of rows that stay together; None if each row is one of its own
    """

    name: str
    rows: Mapping[str, int]
    read: Callable[[str], Table]
    units: Mapping[str, np.ndarray] | None = None

    def lengths(self, client: str) -> np.ndarray:
        """[unit] int64: rows of each of a client's units."""
        return np.ones(self.rows[client], np.int64) if self.units is None else self.units[client].astype(np.int64)

    def num_units(self, client: str) -> int:
        """How many units a client has, 0 for one that is not in this file."""
        return self.rows.get(client, 0) if self.units is None else len(self.units.get(client, ()))


def place(name: str, client: str) -> str:
    """How messages name a client of a file."""
    return f"{name}, client {client!r}"


def in_memory(name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Uninitialized memory for an array."""
    return empty(shape, dtype)


def join(
    files: Sequence[File],
    cut: Cut,
    about: About,
    *,
    groups: Mapping[str, str] | None = None,
    new: New = in_memory,
) -> Population:
    """The population of a train file, or of a train and a test file, each client's table read when its turn comes.

    groups: {client id: group}; new: makes the population's arrays

    Raises PflError, naming file and client, for clients that cannot be cut or whose columns differ.
    """
    ids, counts = _clients(files, cut)
    parts = [[file for file, count in zip(files, mine, strict=True) if count] for mine in counts]
    unit_bounds = _unit_bounds(files, ids, parts, cut)
    offsets, bounds = edges(counts.sum(axis=1)), np.empty((len(ids), 2), np.int64)
    arrays: Table = {}
    first = ""
    for c, client in enumerate(ids):
        begin = int(offsets[c])
        for index, file in enumerate(parts[c]):
            table, num_rows = file.read(client), file.rows[client]
            if not first:
                first = place(file.name, client)
                arrays = {n: new(n, (int(offsets[-1]), *a.shape[1:]), a.dtype) for n, a in table.items()}
            _agree(place(file.name, client), table, num_rows, first, arrays)
            rows = slice(None)
            if index == 0:
                rows, ends = _order(file, client, cut.seed)
                bounds[c] = ends[unit_bounds[c]]
            for name, array in arrays.items():
                array[begin : begin + num_rows] = table[name][rows]
            begin += num_rows
    mine = None if groups is None else tuple(groups[client] for client in ids)
    return Population(arrays=arrays, offsets=offsets, bounds=bounds, ids=ids, groups=mine, about=about)


def _clients(files: Sequence[File], cut: Cut) -> tuple[tuple[str, ...], np.ndarray]:
    """(ids, [client, file] int64 rows in each file) of the clients that are kept."""
    splits.check(cut.split, cut.seed)
    whole("min_rows", cut.min_rows, 0)
    if cut.incomplete not in (known := get_args(Incomplete)):
        hint = nearest(str(cut.incomplete), known)
        raise PflError(f"incomplete: expected one of {', '.join(known)}, got {cut.incomplete!r}{hint}")
    names = _names(files)
    ids = tuple(dict.fromkeys(client for file in files for client in file.rows))
    counts = np.array([[file.rows.get(client, 0) for client in ids] for file in files], np.int64).T
    kept = np.array([sum(file.num_units(client) for file in files) for client in ids]) >= cut.min_rows
    if len(files) == 2 and cut.incomplete != "cut":
        lone = kept & (counts == 0).any(axis=1)
        if lone.any() and cut.incomplete == "refuse":
            where = place(names, ids[int(np.argmax(lone))])
            raise PflError(
                f"{where}: expected rows in both files, got none in one of them, nor for {int(lone.sum()) - 1} clients "
                'more; say incomplete="leave out", or incomplete="cut" to cut the rows that they have'
            )
        kept &= ~lone
    if not kept.any():
        raise PflError(f"{names}: expected at least one client to be left, got none of {len(ids)}")
    return tuple(client for client, keep in zip(ids, kept, strict=True) if keep), counts[kept]


def _unit_bounds(files: Sequence[File], ids: tuple[str, ...], parts: list[list[File]], cut: Cut) -> np.ndarray:
    """[client, 2] int64: where validation and test begin in the first file that has rows of a client, in units."""
    shares = splits.check(cut.split, cut.seed)
    bounds = np.empty((len(ids), 2), np.int64)
    num_files = np.array([len(files) for files in parts])
    halved = np.round(np.array([*shares[:2], 0]) / shares[:2].sum(), 9)  # 0.6 of 0.8 is 0.75, and no less
    for chosen, mine in ((num_files < 2, shares), (num_files == 2, halved)):  # all rows in one file, or apart
        rows = np.flatnonzero(chosen)
        counts = np.array([parts[r][0].num_units(ids[r]) if parts[r] else 0 for r in rows], np.int64)
        try:
            bounds[rows] = splits.bounds(tuple(ids[r] for r in rows), counts, mine)
        except PflError as error:
            raise PflError(f"{_names(files)}, {error} (min_rows leaves out small ones)") from error
    return bounds


def _names(files: Sequence[File]) -> str:
    return " and ".join(file.name for file in files)


def _order(file: File, client: str, seed: int | None) -> tuple[np.ndarray, np.ndarray]:
    """([row] int64 a client's rows with its units shuffled, [unit + 1] int64 where units then begin and end)."""
    lengths = file.lengths(client)
    order = np.arange(len(lengths)) if seed is None else keys.host(seed, client).permutation(len(lengths))
    return ranges(edges(lengths)[order], lengths[order]), edges(lengths[order])


def _agree(where: str, table: Table, num_rows: int, first: str, arrays: Table) -> None:
    """Refuses a table that is not of the columns, dtypes and shapes of the first one."""
    if not table:
        raise PflError(f"{where}: expected at least one column, got none")
    for name, array in table.items():
        if array.shape[:1] != (num_rows,):
            raise PflError(f"{where}: expected {num_rows} rows in {name!r}, got shape {list(array.shape)}")
    mine, expected = ({n: (a.dtype, a.shape[1:]) for n, a in arrays_.items()} for arrays_ in (table, arrays))
    if mine != expected:
        words = [
            ", ".join(f"{name}: {dtype}{list(shape)}" for name, (dtype, shape) in sorted(columns.items()))
            for columns in (expected, mine)
        ]
        raise PflError(f"{where}: expected the columns of {first}, {words[0]}, got {words[1]}")
