"""`lists`: a population from lists of one array per client."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pfljax.data import split as splits
from pfljax.data.importers.columns import choose, population
from pfljax.data.importers.rows import Rows, join
from pfljax.data.population import About, Population
from pfljax.errors import PflError


def lists(
    *,
    ids: Sequence[object] | None = None,
    label: str | None = None,
    groups: Sequence[object] | None = None,
    split: splits.Shares = (0.6, 0.2, 0.2),
    seed: int | None = 0,
    about: About | None = None,
    **arrays: Sequence[Any],
) -> Population:
    """A population from lists of one array [example, ...] per client, such as `lists(x=[...], y=[...])`.

    ids:    a name for each client; "0", "1", ... where none are given
    label:  the list that becomes y, as in `table`: classes are checked and counted into `about.num_classes`
    groups: one for each client; clients of one group are held out together
    others: `Population.from_clients`. 64-bit numbers become 32-bit ones.

    >>> lists(x=[np.ones((5, 3)), np.ones((8, 3))], y=[np.arange(5), np.arange(8)], label="y").sizes("test")
    array([1, 2])
    """
    if not arrays:
        raise PflError("lists: expected named lists such as x=[...], y=[...], got none")
    counts = {name: _length(name, parts) for name, parts in arrays.items()}
    first, num_clients = next(iter(counts.items()))
    for name, count in counts.items():
        if count != num_clients:
            raise PflError(f"{name}: expected one array for each of the {num_clients} clients of {first}, got {count}")
    names = tuple(map(str, range(num_clients) if ids is None else ids))
    for what, given in (("ids", names), ("groups", groups)):
        if given is not None and len(given) != num_clients:
            raise PflError(f"{what}: expected one for each of the {num_clients} clients, got {len(given)}")
    columns = {
        name: [_array(name, who, part) for who, part in zip(names, arrays[name], strict=True)] for name in arrays
    }
    sizes = [len(part) for part in columns[first]]
    for name, parts in columns.items():
        for who, size, part in zip(names, sizes, parts, strict=True):
            if len(part) != size:
                raise PflError(f"client {who!r}: expected {size} rows of {name} as of {first}, got {len(part)}")
    if not sum(sizes):
        raise PflError(f"{first}: expected at least one row, got {num_clients} empty arrays")
    owners = tuple(f"client {who!r}" for who in names)
    rows = Rows(
        {name: join(name, parts, owners) for name, parts in columns.items()},
        np.repeat(np.arange(num_clients), sizes),
        names,
        ("lists",) if num_clients == 1 else ("lists",) * num_clients,
    )
    others = {name: name for name in arrays if name != label}
    choice = choose("lists", tuple(arrays), (), None, label, others, None)
    held = None if groups is None else tuple(map(str, groups))
    return population(rows, choice, split, seed, about or About(), held)


def _length(name: str, parts: Any) -> int:
    try:
        count = len(parts)
    except TypeError as error:
        raise PflError(f"{name}: expected a list of one array per client, got a {type(parts).__name__}") from error
    if not count:
        raise PflError(f"{name}: expected a list of one array per client, got an empty one")
    return count


def _array(name: str, who: str, part: Any) -> np.ndarray:
    try:
        array = np.asarray(part)
    except ValueError as error:
        raise PflError(f"client {who!r}: expected {name} as a rectangular array, got a ragged list; pad it") from error
    if array.ndim == 0:
        raise PflError(f"client {who!r}: expected {name} as an array [example, ...], got {part!r}")
    return array
