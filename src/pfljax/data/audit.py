"""`audit`: rows that stand in more than one split, counted.

Two rows are the same if all their arrays are, to the bit (-0.0 is 0.0). So copies are found, and near copies (a crop,
a rounded number, a window shifted by one sample) are not. A row that is found twice need not be a leak: short contexts
of text and coarse measurements repeat by themselves, and only whoever made the data can tell.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Literal, NamedTuple

import numpy as np

from pfljax import keys
from pfljax.data.population import Population
from pfljax.errors import PflError

SPLITS = ("train", "validation", "test")
PAIRS = ((0, 1), (0, 2), (1, 2))  # of splits: (the earlier, the later)
CHUNK = 2**20  # bytes of rows at a time
MIX = (np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53))  # odd, so that multiplying loses nothing


class Copy(NamedTuple):
    """A row and one that it equals, as (client id, split, row of that split)."""

    row: tuple[str, str, int]
    of: tuple[str, str, int]


@dataclass(frozen=True, eq=False)
class Audit:
    """How many rows of a split stand in another one too. Pairs: train/validation, train/test, validation/test.

    ids:          [client]
    sizes:        [client, split] int64: train, validation, test
    within:       [client, pair] int64: rows of the later split that the client's own earlier split has
    between:      [client, pair] int64: rows of the later split that another client's earlier split has
    unseen:       [client] int64: rows of an unseen client, any split, that a seen client has; None where nobody is
    num_distinct: rows that are different
    copies:       {"within", "between", "unseen": an example}, for those that are found
    """

    ids: tuple[str, ...]
    sizes: np.ndarray
    within: np.ndarray
    between: np.ndarray
    unseen: np.ndarray | None
    num_distinct: int
    copies: dict[str, Copy]

    def __str__(self) -> str:
        num_rows, later = int(self.sizes.sum()), self.sizes.sum(axis=0)[[pair[1] for pair in PAIRS]]
        names = [f"{SPLITS[b]} in {SPLITS[a]}" for a, b in PAIRS]
        lines = [f"{len(self.ids):,} clients, {num_rows:,} rows, {self.num_distinct:,} of them distinct"]
        lines.append(f"{'rows of one split in another':<30}" + "".join(f"{name:>24}" for name in names))
        for name, counts in (("the client's own", self.within), ("another client's", self.between)):
            cells = [
                f"{int(part):,} ({part / max(1, whole):.1%})"
                for part, whole in zip(counts.sum(axis=0), later, strict=True)
            ]
            lines.append(f"{name:<30}" + "".join(f"{cell:>24}" for cell in cells))
        if self.unseen is not None:
            lines.append(f"{'unseen rows that a seen client has':<34}{f'{int(self.unseen.sum()):,}':>20}")
        lines.extend(f"{scope}: {_told(copy)}" for scope, copy in self.copies.items())
        return "\n".join(lines)


def audit(population: Population, seen: np.ndarray | None = None) -> Audit:
    """Counts the rows that stand in more than one split, of one client and of several; reads every row once.

    seen: [client] bool, as from `plan.hold_out`; where given, rows that unseen clients share with seen ones are counted

    >>> rows = {"x": np.array([1, 2, 3, 1, 2])}  # train 1, 2, 3; validation 1; test 2
    >>> print(audit(Population.from_clients({"ada": rows}, seed=None)))
    1 clients, 5 rows, 3 of them distinct
    rows of one split in another       validation in train           test in train      test in validation
    the client's own                            1 (100.0%)              1 (100.0%)                0 (0.0%)
    another client's                              0 (0.0%)                0 (0.0%)                0 (0.0%)
    within: the validation row 0 of client 'ada' equals the train row 0 of client 'ada'
    """
    seen = None if seen is None else np.asarray(seen)
    if seen is not None and (seen.dtype != bool or seen.shape != (population.num_clients,)):
        raise PflError(f"seen: expected [{population.num_clients}] bool, got {seen.dtype}{list(seen.shape)}")
    rows, same, num_distinct = _repeated(population)
    sizes = np.stack([population.sizes(split) for split in SPLITS], axis=1)
    client = np.searchsorted(population.offsets, rows, side="right") - 1
    inside = rows - population.offsets[client]
    split = (inside[:, None] >= population.bounds[client]).sum(axis=1)

    num_clients = population.num_clients
    holders, holder = np.unique(same * num_clients + client, return_inverse=True)  # a (value, client) each
    has = np.zeros((len(holders), 3), bool)
    has[holder, split] = True
    owners = np.zeros((int(same.max(initial=-1)) + 1, 3), np.int64)  # of a value in a split: how many clients
    np.add.at(owners, holders // num_clients, has)
    own = has[holder]
    foreign = owners[same] - own > 0

    within, between, first = np.zeros((num_clients, 3), np.int64), np.zeros((num_clients, 3), np.int64), {}
    for scope, counts, held in (("within", within, own), ("between", between, foreign)):
        for index, (a, b) in enumerate(PAIRS):
            found = (split == b) & held[:, a]
            counts[:, index] = np.bincount(client[found], minlength=num_clients)
            if scope not in first and found.any():
                row = int(np.argmax(found))
                is_own = client == client[row]
                fits = (same == same[row]) & (split == a) & (is_own if scope == "within" else ~is_own)
                first[scope] = (row, int(np.argmax(fits)))
    unseen = None
    if seen is not None:
        known = np.zeros(len(owners), bool)
        known[same[seen[client]]] = True
        found = ~seen[client] & known[same]
        unseen = np.bincount(client[found], minlength=num_clients)
        if found.any():
            row = int(np.argmax(found))
            first["unseen"] = (row, int(np.argmax((same == same[row]) & seen[client])))

    def place(index: int) -> tuple[str, str, int]:
        begin = (0, *population.bounds[client[index]].tolist())[split[index]]
        return population.ids[client[index]], SPLITS[split[index]], int(inside[index] - begin)

    copies = {scope: Copy(place(row), place(of)) for scope, (row, of) in first.items()}
    return Audit(population.ids, sizes, within, between, unseen, num_distinct, copies)


def require_clean(
    population: Population, scope: Literal["client", "population"] = "client", seen: np.ndarray | None = None
) -> Audit:
    """The audit of a population that has no row in two splits; PflError, with numbers and an example, for another.

    scope: "client" asks that of each client's own splits, "population" of all clients' splits together and, where
      `seen` is given, of unseen clients against seen ones
    """
    if scope not in ("client", "population"):
        raise PflError(f"scope: expected 'client' or 'population', got {scope!r}")
    report = audit(population, seen)
    wanted = ("within",) if scope == "client" else ("within", "between", "unseen")
    for name in wanted:
        if name in report.copies:
            counts = {"within": report.within, "between": report.between, "unseen": report.unseen}[name]
            assert counts is not None
            total, clients = int(counts.sum()), int(counts.reshape(len(counts), -1).any(axis=1).sum())
            where = {
                "within": "another split of their client",
                "between": "another split of another client",
                "unseen": "a seen client, though their client is unseen",
            }[name]
            raise PflError(
                f"population {population.about.name!r}: expected every row in one split, got {total} of "
                f"{clients} clients that also stand in {where}: {_told(report.copies[name])}; "
                "drop the copies, or split so that they stay together"
            )
    return report


def _told(copy: Copy) -> str:
    (mine, my_split, my_row), (other, split, row) = copy
    return f"the {my_split} row {my_row} of client {mine!r} equals the {split} row {row} of client {other!r}"


# ---- equal rows ----


def _repeated(population: Population) -> tuple[np.ndarray, np.ndarray, int]:
    """([n] rows that stand more than once, rising; [n] which value each has, from 0; how many rows are distinct).

    Rows are sorted by a hash and compared with their neighbours, so that what counts as equal is equal. Should two
    different rows have one hash, another hash is tried.
    """
    arrays = [population.arrays[name] for name in sorted(population.arrays)]
    order, alike = next(found for attempt in count() if (found := _sorted(arrays, attempt)) is not None)
    value = np.concatenate([[0], np.cumsum(~alike)])  # along `order`
    many = np.concatenate([alike, [False]]) | np.concatenate([[False], alike])
    rows = order[many]
    _, same = np.unique(value[many], return_inverse=True)
    rising = np.argsort(rows)
    return rows[rising], same[rising], int(value[-1]) + 1


def _sorted(arrays: list[np.ndarray], attempt: int) -> tuple[np.ndarray, np.ndarray] | None:
    """([row] rows in the order of a hash, [row - 1] bool: equal to the one before); None if the hash is ambiguous."""
    hashes = _hashes(arrays, attempt)
    order = np.argsort(hashes, kind="stable")
    alike = hashes[order[1:]] == hashes[order[:-1]]
    is_exact = all(_equal(array, order[1:][alike], order[:-1][alike]) for array in arrays)
    return (order, alike) if is_exact else None


def _hashes(arrays: list[np.ndarray], attempt: int) -> np.ndarray:
    """[row] uint64: a sum over a row's words, each mixed with a key of its place."""
    hashes = np.zeros(len(arrays[0]), np.uint64)
    for index, array in enumerate(arrays):
        generator = keys.host(attempt, "audit", index)
        num_words = -(-array[:1].nbytes // 8)
        key = generator.integers(0, 2**64, num_words, np.uint64)
        for part in _parts(array):
            raw = _bytes(array[part])
            words = np.zeros((len(raw), num_words * 8), np.uint8)
            words[:, : raw.shape[1]] = raw
            hashes[part] += _mixed(words.view(np.uint64) + key).sum(axis=1, dtype=np.uint64)
    return _mixed(hashes)


def _mixed(words: np.ndarray) -> np.ndarray:
    """Every bit of a word onto every bit of another one, one to one."""
    for factor in MIX:
        words = words ^ (words >> np.uint64(33))
        words = words * factor
    return words ^ (words >> np.uint64(33))


def _equal(array: np.ndarray, left: np.ndarray, right: np.ndarray) -> bool:
    step = max(1, CHUNK // max(1, array[:1].nbytes))
    parts = [slice(begin, begin + step) for begin in range(0, len(left), step)]
    return all(np.array_equal(_bytes(array[left[part]]), _bytes(array[right[part]])) for part in parts)


def _parts(array: np.ndarray) -> Iterator[slice]:
    step = max(1, CHUNK // max(1, array[:1].nbytes))
    return (slice(begin, min(begin + step, len(array))) for begin in range(0, len(array), step))


def _bytes(part: np.ndarray) -> np.ndarray:
    """[row, byte] uint8; -0.0 as 0.0."""
    part = part + part.dtype.type(0) if part.dtype.kind == "f" else part
    return np.ascontiguousarray(part).reshape(len(part), -1).view(np.uint8)
