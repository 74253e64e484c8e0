"""`Population`: everybody's examples in flat arrays, with one line of bookkeeping per client."""

import hashlib
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from pfljax.data import split as splits
from pfljax.data.memory import check_mapped, empty
from pfljax.errors import PflError


@dataclass(frozen=True)
class About:
    """What a population is, for tables, manifests and models.

    num_classes: sizes a model's output; partition: the sha256 of the `Partition` that dealt the rows to clients
    """

    name: str = "unnamed"
    task: str = ""
    num_classes: int = 0
    source: str = ""
    licence: str = ""
    partition: str = ""


@dataclass(frozen=True, eq=False)
class Population:
    """All clients' examples, one client after another, each client's rows as train, validation, test.

    arrays:  {name: [row, ...]} in the dtype they were stored in; the same number of rows each
    offsets: [client + 1] int64; client c owns rows offsets[c]:offsets[c + 1]
    bounds:  [client, 2] int64; where c's validation and test rows begin, counted from offsets[c]
    ids:     [client] str, unique
    groups:  [client] str or None; clients of one group are held out together (a person's two wrists)

    Raises PflError, naming the client, for whatever breaks these lines or could poison training.
    """

    arrays: Mapping[str, np.ndarray]
    offsets: np.ndarray
    bounds: np.ndarray
    ids: tuple[str, ...]
    groups: tuple[str, ...] | None = None
    about: About = field(default_factory=About)

    def __post_init__(self):
        for name in ("offsets", "bounds"):
            object.__setattr__(self, name, np.asarray(getattr(self, name)))
        _check(self)

    @property
    def num_clients(self) -> int:
        return len(self.ids)

    @property
    def num_rows(self) -> int:
        return int(self.offsets[-1])

    def sizes(self, split: str = "train") -> np.ndarray:
        """[client] int64: rows of one split (`train`, `validation`, `test`) for every client."""
        return self.span(split)[1]

    def span(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """(first row, number of rows) of one split, each [client] int64."""
        total = np.diff(self.offsets)
        edges = {
            "train": (np.zeros_like(total), self.bounds[:, 0]),
            "validation": (self.bounds[:, 0], self.bounds[:, 1]),
            "test": (self.bounds[:, 1], total),
        }
        if split not in edges:
            raise PflError(f"split: expected one of {', '.join(edges)}, got {split!r}")
        begin, end = edges[split]
        return self.offsets[:-1] + begin, end - begin

    def client(self, client_id: str, split: str = "train") -> dict[str, np.ndarray]:
        """{name: [example, ...]}: one client's rows of one split, as views."""
        index = self.row(client_id)
        start, count = (int(part[index]) for part in self.span(split))
        return {name: array[start : start + count] for name, array in self.arrays.items()}

    def row(self, client_id: str) -> int:
        """The position of a client; PflError if there is none of that id."""
        try:
            return self.ids.index(client_id)
        except ValueError:
            raise PflError(f"client: expected one of the {self.num_clients} ids, got {client_id!r}") from None

    def checksum(self) -> str:
        """sha256 over rows, bookkeeping and ids: two populations with one checksum train alike."""
        digest = hashlib.sha256()
        for name in sorted(self.arrays):
            array = self.arrays[name]
            digest.update(f"{name}{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        for part in (self.offsets, self.bounds):
            digest.update(np.ascontiguousarray(part, dtype="<i8").data)
        digest.update(repr((self.ids, self.groups, self.about.num_classes)).encode())
        return digest.hexdigest()

    def take(self, rows: Sequence[int] | np.ndarray) -> "Population":
        """The population of some clients only, in the order given. rows: positions, or a [client] bool mask.

        >>> two = Population.from_clients({k: {"x": np.arange(5.0)} for k in "ab"})
        >>> two.take([1]).ids
        ('b',)
        """
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
        if not len(rows) or rows.min() < 0 or rows.max() >= self.num_clients:
            raise PflError(f"rows: expected some from 0 to {self.num_clients - 1}, got {rows.tolist()[:5]}")
        pieces = np.concatenate([np.arange(int(self.offsets[r]), int(self.offsets[r + 1])) for r in rows])
        return replace(
            self,
            arrays={name: array[pieces] for name, array in self.arrays.items()},
            offsets=np.concatenate([[0], np.cumsum(np.diff(self.offsets)[rows])]),
            bounds=self.bounds[rows],
            ids=tuple(self.ids[r] for r in rows),
            groups=None if self.groups is None else tuple(self.groups[r] for r in rows),
        )

    @staticmethod
    def from_clients(
        clients: Mapping[Hashable, Mapping[str, np.ndarray]],
        split: splits.Shares = (0.6, 0.2, 0.2),
        seed: int | None = 0,
        *,
        groups: Mapping[Hashable, str] | None = None,
        about: About | None = None,
    ) -> "Population":
        """A population from {client id: {name: [example, ...]}}.

        `split` is the share of each client's examples for train, validation and test; `seed` shuffles them
        first (None keeps the order given, for examples in time order). Every client keeps at least one
        train row, and one test row if the test share is positive.

        >>> people = {name: {"x": np.ones((5, 3), np.float32), "y": np.arange(5)} for name in ("ada", "bob")}
        >>> Population.from_clients(people).sizes("test")
        array([1, 1])
        """
        splits.check(split, seed)
        if not isinstance(clients, Mapping):
            raise PflError(f"clients: expected {{client id: {{name: array}}}}, got a {type(clients).__name__}")
        if not clients:
            raise PflError("clients: expected at least one client, got none")
        ids = [str(key) for key in clients]
        if groups is not None and (missing := [key for key in clients if key not in groups]):
            raise PflError(f"groups: expected one for every client, got none for {missing[0]!r}")
        tables = [_table(name, columns) for name, columns in zip(ids, clients.values(), strict=True)]
        _same_columns(ids, tables)
        counts = np.array([len(next(iter(table.values()))) for table in tables])
        return Population.from_flat(
            {name: _joined([table[name] for table in tables]) for name in tables[0]},
            np.concatenate([[0], np.cumsum(counts)]),
            tuple(ids),
            split,
            seed,
            groups=None if groups is None else tuple(str(groups[key]) for key in clients),
            about=about,
        )

    @staticmethod
    def from_flat(
        arrays: Mapping[str, np.ndarray],
        offsets: np.ndarray,
        ids: Sequence[str],
        split: splits.Shares = (0.6, 0.2, 0.2),
        seed: int | None = 0,
        *,
        groups: Sequence[str] | None = None,
        about: About | None = None,
    ) -> "Population":
        """A population from flat arrays in which every client's rows already lie together.

        arrays: {name: [row, ...]}; offsets: [client + 1]; others: `from_clients`. With `seed=None` the arrays are
        taken as they are, memory maps included; a seed copies them in their new order.

        >>> flat = {"x": np.arange(10.0), "y": np.arange(10)}
        >>> Population.from_flat(flat, np.array([0, 4, 10]), ("ada", "bob"), seed=None).sizes("train")
        array([2, 4])
        """
        shares = splits.check(split, seed)
        ids, offsets = tuple(ids), np.asarray(offsets)
        counts = np.diff(offsets)
        if len(counts) != len(ids) or not len(ids) or offsets[0] != 0 or (counts < 0).any():
            raise PflError(
                f"offsets: expected {len(ids) + 1} rising numbers from 0, one more than ids and at least two, "
                f"got {offsets[:5].tolist()}... of length {len(offsets)}"
            )
        for name, array in arrays.items():
            if np.ndim(array) == 0 or len(array) != offsets[-1]:
                raise PflError(f"array {name!r}: expected {int(offsets[-1])} rows, got shape {list(np.shape(array))}")
        bounds = splits.bounds(ids, counts, shares)
        if seed is not None:
            rows = splits.order(ids, offsets, seed)
            arrays = {name: _joined([array[rows]]) for name, array in arrays.items()}
        return Population(
            arrays=arrays,
            offsets=offsets,
            bounds=bounds,
            ids=ids,
            groups=None if groups is None else tuple(groups),
            about=about or About(),
        )


def _table(name: str, columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    if not isinstance(columns, Mapping):
        raise PflError(f"client {name!r}: expected {{name: array}}, got a {type(columns).__name__}")
    try:
        table = {key: np.asarray(value) for key, value in columns.items()}
    except ValueError as error:
        raise PflError(f"client {name!r}: expected rectangular arrays, got a ragged list; pad it first") from error
    if not table:
        raise PflError(f"client {name!r}: expected named arrays such as {{'x': ..., 'y': ...}}, got none")
    lengths = {key: value.shape[0] if value.ndim else -1 for key, value in table.items()}
    if len(set(lengths.values())) != 1 or -1 in lengths.values():
        raise PflError(f"client {name!r}: expected arrays with one common number of rows, got {lengths}")
    return table


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    if parts[0].dtype.kind not in "fiub":
        return np.concatenate(parts)  # to be refused, by name
    shape = (sum(len(part) for part in parts), *parts[0].shape[1:])
    return np.concatenate(parts, out=empty(shape, parts[0].dtype))


def _same_columns(ids: list[str], tables: list[dict[str, np.ndarray]]) -> None:
    """Refuse before concatenation, which would promote dtypes silently."""
    first = {key: (value.dtype, value.shape[1:]) for key, value in tables[0].items()}
    for name, table in zip(ids, tables, strict=True):
        mine = {key: (value.dtype, value.shape[1:]) for key, value in table.items()}
        if mine != first:
            raise PflError(
                f"client {name!r}: expected the columns of client {ids[0]!r}, {_columns(first)}, "
                f"got {_columns(mine)}; cast or reshape them to agree"
            )


def _columns(columns: dict) -> str:
    return ", ".join(f"{key}: {dtype}{list(shape)}" for key, (dtype, shape) in sorted(columns.items()))


def _check(population: Population) -> None:
    arrays, offsets, bounds, ids = population.arrays, population.offsets, population.bounds, population.ids
    if not ids:
        raise PflError("ids: expected at least one client, got none")
    twice, times = Counter(ids).most_common(1)[0]
    if times > 1:
        raise PflError(f"ids: expected every client once, got {twice!r} {times} times; rename or merge them")
    if population.groups is not None and len(population.groups) != len(ids):
        raise PflError(f"groups: expected one for each of the {len(ids)} clients, got {len(population.groups)}")
    if offsets.dtype.kind not in "iu" or bounds.dtype.kind not in "iu":
        raise PflError(f"offsets, bounds: expected whole numbers, got dtypes {offsets.dtype} and {bounds.dtype}")
    if offsets.shape != (len(ids) + 1,) or offsets[0] != 0 or bounds.shape != (len(ids), 2):
        raise PflError(
            f"offsets, bounds: expected shapes [{len(ids) + 1}] from 0 and [{len(ids)}, 2], "
            f"got {list(offsets.shape)} and {list(bounds.shape)}"
        )
    sizes = np.diff(offsets)
    inside = (bounds[:, 0] >= 1) & (bounds[:, 0] <= bounds[:, 1]) & (bounds[:, 1] <= sizes)
    if not inside.all():
        bad = int(np.argmin(inside))
        raise PflError(
            f"client {ids[bad]!r}: expected at least one train row and bounds in order, got {int(sizes[bad])} rows "
            f"with validation from {int(bounds[bad, 0])} and test from {int(bounds[bad, 1])}; leave the client out"
        )
    if not arrays or "mask" in arrays:
        got = "one called 'mask', which batches need for themselves; rename it" if arrays else "none"
        raise PflError(f"arrays: expected at least one, and none called 'mask', got {got}")
    for name, array in arrays.items():
        check_mapped(name, array)
        if array.ndim == 0 or array.shape[0] != offsets[-1]:
            raise PflError(f"array {name!r}: expected {int(offsets[-1])} rows, got shape {list(array.shape)}")
        _check_values(population, name, array)


def _check_values(population: Population, name: str, array: np.ndarray) -> None:
    kind = array.dtype.kind
    if kind not in "fiub" or array.dtype.itemsize > 8:
        raise PflError(f"array {name!r}: expected numbers or booleans, got dtype {array.dtype}; encode it first")
    if kind != "f":
        return
    step = max(1, 2**22 // max(1, array[:1].size))
    for begin in range(0, len(array), step):
        good = np.isfinite(array[begin : begin + step]).reshape(min(step, len(array) - begin), -1).all(axis=1)
        if not good.all():
            row = begin + int(np.argmin(good))
            client = int(np.searchsorted(population.offsets, row, side="right")) - 1
            raise PflError(
                f"client {population.ids[client]!r}: expected finite numbers in {name!r}, got NaN or infinity in its "
                f"row {row - int(population.offsets[client])}; impute or drop that row"
            )
