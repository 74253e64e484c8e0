"""`Partition`: which rows of a flat data set belong to which client, as data that is saved, hashed and applied."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike

import numpy as np

from pfljax.data import split as splits
from pfljax.data.memory import check_mapped, empty
from pfljax.data.partition import files
from pfljax.data.partition.basis import fingerprint
from pfljax.data.population import About, Population
from pfljax.errors import PflError

Fact = int | float | str


@dataclass(frozen=True, eq=False)
class Partition:
    """Which rows belong to which client; no row to two, and some to nobody.

    rows:       [dealt row] int64; rows of the source, client after client
    offsets:    [client + 1] int64; client c owns rows[offsets[c]:offsets[c + 1]], at least one
    ids:        [client] str, unique
    source:     `fingerprint` of what it was made for (labels, keys, times or a number of rows)
    num_rows:   rows of the source
    name, parameters, seed: what made it, as plain facts
    groups:     [client] str or None; clients of one group are held out together

    Raises PflError, naming the client or the row, for whatever breaks these lines.
    """

    rows: np.ndarray
    offsets: np.ndarray
    ids: tuple[str, ...]
    source: str
    num_rows: int
    name: str = ""
    parameters: Mapping[str, Fact] = field(default_factory=dict)
    seed: int | None = None
    groups: tuple[str, ...] | None = None

    def __post_init__(self):
        for name in ("rows", "offsets"):
            array = np.asarray(getattr(self, name))
            if array.ndim != 1 or array.dtype.kind not in "iu":
                raise PflError(f"{name}: expected a row of whole numbers, got {array.dtype}{list(array.shape)}")
            array = array.astype(np.int64, copy=False).view()
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        _check(self)

    @property
    def num_clients(self) -> int:
        return len(self.ids)

    @property
    def sizes(self) -> np.ndarray:
        """[client] int64: rows of every client."""
        return np.diff(self.offsets)

    def sha256(self) -> str:
        """Who owns which rows of what, whoever dealt them: name, parameters and seed do not count."""
        digest = hashlib.sha256(repr((self.source, self.num_rows, self.ids, self.groups)).encode())
        for part in (self.offsets, self.rows):
            digest.update(np.ascontiguousarray(part, dtype="<i8").data)
        return digest.hexdigest()

    def client(self, client_id: str) -> np.ndarray:
        """[example] int64: the rows of one client."""
        if client_id not in self.ids:
            raise PflError(f"client: expected one of the {self.num_clients} ids, got {client_id!r}")
        index = self.ids.index(client_id)
        return self.rows[self.offsets[index] : self.offsets[index + 1]]

    def save(self, path: str | PathLike[str]) -> None:
        """Writes it to `path` as an npz without pickle, in one move: never half a file."""
        facts = {name: getattr(self, name) for name in files.FACTS}
        files.write(path, self.rows, self.offsets, facts | {"sha256": self.sha256()})

    @staticmethod
    def load(path: str | PathLike[str]) -> "Partition":
        """The partition that `save` wrote. Raises PflError for a file that is missing, damaged or something else."""
        rows, offsets, facts = files.read(path)
        expected = facts.pop("sha256")
        try:
            made = Partition(rows, offsets, **facts)
        except PflError as error:
            raise PflError(f"{path}: expected a partition, got one with {error}; make it again") from error
        if made.sha256() != expected:
            raise PflError(f"{path}: expected sha256 {expected}, got {made.sha256()}; make the partition again")
        return made

    def apply(
        self,
        arrays: Mapping[str, np.ndarray],
        split: splits.Shares = (0.6, 0.2, 0.2),
        seed: int | None = 0,
        *,
        made_for: "np.ndarray | None" = None,
        about: About | None = None,
    ) -> Population:
        """The population in which every client has its rows of `arrays` ({name: [row, ...]}).

        split, seed: as of `Population.from_clients`; this seed shuffles clients' rows before they are split, and has
          nothing to do with the partition's (None keeps the partition's order)
        made_for: the column that the partition was made for, where it is none of `arrays` (clients' names, times)

        The partition's sha256 is written into `About.partition`. Raises PflError, with both fingerprints, for arrays
        that are not those it was made for.

        >>> from pfljax.data import partition
        >>> y = np.arange(20) % 4
        >>> people = partition.dirichlet(y, 3, alpha=0.5).apply({"x": np.ones((20, 2), np.float32), "y": y})
        >>> people.num_rows
        20
        """
        splits.check(split, seed)
        arrays = {name: np.asanyarray(array) for name, array in arrays.items()}
        _check_source(self, arrays, made_for)
        rows = self.rows if seed is None else self.rows[splits.order(self.ids, self.offsets, seed)]
        return Population.from_flat(
            {name: _gather(name, array, rows) for name, array in arrays.items()},
            self.offsets,
            self.ids,
            split,
            seed=None,
            groups=self.groups,
            about=replace(about or About(), partition=self.sha256()),
        )


def by_owner(
    owner: np.ndarray,
    ids: Sequence[str],
    source: str,
    name: str,
    parameters: Mapping[str, Fact],
    seed: int | None,
    groups: Sequence[str] | None = None,
    order: np.ndarray | None = None,
) -> Partition:
    """The partition in which the row at position p belongs to client owner[p], or to nobody where that is -1.

    owner: [row] int64; order: the row at each position, None for the order of the source, which clients' rows keep.
    """
    positions, offsets = group(owner + 1, len(ids) + 1)
    dealt = positions[offsets[1] :]
    return Partition(
        dealt if order is None else order[dealt],
        offsets[1:] - offsets[1],
        tuple(ids),
        source,
        len(owner),
        name,
        {key: _plain(value) for key, value in parameters.items()},
        None if seed is None else int(seed),
        None if groups is None else tuple(groups),
    )


def group(codes: np.ndarray, num: int) -> tuple[np.ndarray, np.ndarray]:
    """([row] rows by code, [num + 1] where each code begins). Stable, and linear: 16 bits at a time by radix.

    codes: [row] int64 in [0, num), num at most 2**32
    """
    order = np.argsort((codes & 0xFFFF).astype(np.uint16), kind="stable")
    if num > 2**16:
        order = order[np.argsort((codes[order] >> 16).astype(np.uint16), kind="stable")]
    return order, np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=num))])


def _plain(value: Fact) -> Fact:
    """The Python number of a numpy one, which no JSON holds."""
    return value.item() if isinstance(value, np.generic) else value


def _check(made: Partition) -> None:
    rows, offsets, ids = made.rows, made.offsets, made.ids
    if len(offsets) != len(ids) + 1 or not ids or offsets[0] != 0 or offsets[-1] != len(rows):
        raise PflError(
            f"offsets: expected {len(ids) + 1} numbers from 0 to {len(rows)}, one more than ids and at least two, "
            f"got {offsets[:5].tolist()}... of length {len(offsets)}"
        )
    if (none := np.diff(offsets) < 1).any():
        raise PflError(f"client {ids[int(np.argmax(none))]!r}: expected at least one row, got none; leave it out")
    twice, times = Counter(ids).most_common(1)[0]
    if times > 1:
        raise PflError(f"ids: expected every client once, got {twice!r} {times} times; rename or merge them")
    if made.groups is not None and len(made.groups) != len(ids):
        raise PflError(f"groups: expected one for each of the {len(ids)} clients, got {len(made.groups)}")
    if rows.min() < 0 or rows.max() >= made.num_rows:
        bad = rows.max() if rows.min() >= 0 else rows.min()
        raise PflError(f"rows: expected some from 0 to {made.num_rows - 1}, got {bad}")
    # A bitmap where most rows are dealt; sorting where few are, of a number that may be damaged and huge.
    few = made.num_rows > 64 * len(rows)
    seen = np.unique(rows, return_counts=True) if few else (np.arange(made.num_rows), np.bincount(rows))
    if int(seen[1].max()) > 1:
        raise PflError(f"rows: expected every row once, got row {seen[0][int(np.argmax(seen[1]))]} twice or more")


def _check_source(made: Partition, arrays: Mapping[str, np.ndarray], made_for: object) -> None:
    if not arrays:
        raise PflError("arrays: expected at least one, got none")
    for name, array in arrays.items():
        check_mapped(name, array)
        if array.ndim == 0 or len(array) != made.num_rows:
            raise PflError(
                f"array {name!r}: expected the {made.num_rows} rows of which fingerprint {made.source} was taken, "
                f"got shape {list(array.shape)}; apply the partition to the data it was made for"
            )
    if made_for is not None:
        found = {"made_for": fingerprint(made_for)}  # pyright: ignore[reportArgumentType]
    else:
        flat = {name: array for name, array in arrays.items() if array.ndim == 1}
        found = {"the number of rows": fingerprint(made.num_rows)}
        found |= {name: fingerprint(array) for name, array in flat.items()}
    if made.source not in found.values():
        got = ", ".join(f"{print_} of {name}" for name, print_ in found.items())
        raise PflError(
            f"arrays: expected the data of fingerprint {made.source} that the partition was made for, got {got}; "
            "apply it to those, or give the column it was made for as made_for="
        )


def _gather(name: str, array: np.ndarray, rows: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "fiub":
        raise PflError(f"array {name!r}: expected numbers or booleans, got dtype {array.dtype}; encode it first")
    out = empty((len(rows), *array.shape[1:]), array.dtype)
    return np.take(array, rows, axis=0, out=out, mode="clip")  # rows are inside; other modes buffer the whole result
