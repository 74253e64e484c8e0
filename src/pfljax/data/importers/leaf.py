"""LEAF's JSON, a file or many: {"users": [...], "num_samples": [...], "user_data": {id: {"x": [...], "y": [...]}}}."""

import json
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pfljax.data.importers import values
from pfljax.data.importers.pairs import Cut, File, Incomplete, Table, join, place
from pfljax.data.population import About, Population
from pfljax.data.split import Shares
from pfljax.errors import PflError, whole

KEYS = ("users", "num_samples", "user_data")


class Found(NamedTuple):
    """What a file or folder holds. tables: {client id: x, y}; groups: {client id: group} of those that have one"""

    tables: dict[str, Table]
    groups: dict[str, str]


def leaf(
    train: str | PathLike[str],
    test: str | PathLike[str] | None = None,
    split: Shares = (0.6, 0.2, 0.2),
    seed: int | None = 0,
    *,
    convert: Callable[[list], np.ndarray] | None = None,
    num_classes: int | None = None,
    characters: str = values.CHARACTERS,
    incomplete: Incomplete = "refuse",
    min_rows: int = 0,
) -> Population:
    """LEAF's populations: a .json file, or a folder of them, for train and for test; `hierarchies` become groups.

    x: what `convert` makes of a client's list, such as `ink` for FEMNIST; without it float32 [example, ...] of numbers,
      and uint8 [example, character] of strings of one length; 1 is any character but `characters`, which count from 2
    y: int32 of whole numbers, the same symbols of single characters, and float32 targets where any label is a
      float; if they are classes none the less, say num_classes
    num_classes: of whole numbers; None counts them up to the largest in the files

    Strings are windows that overlap their neighbours (Shakespeare's reach over 80 characters), so they stay in the
    file's order whatever the seed: only at the border do windows of two splits share some text.

    split, seed, incomplete, min_rows: see `Cut`. Raises PflError, naming file and client, for files that are not so.
    """
    if num_classes is not None:
        whole("num_classes", num_classes, 2)
    known = values.alphabet(characters)
    sides = [_side(path, convert, known) for path in (train, test) if path is not None]
    kinds = {table["y"].dtype.kind for side in sides for table in side.tables.values()}
    is_text = "u" in kinds
    if is_text:
        num_classes, task = len(characters) + 2, "next character by client"
    elif "f" in kinds and num_classes is None:
        num_classes, task = 0, "a number by client"
    else:
        if num_classes is None:
            num_classes = 1 + max(int(table["y"].max(initial=0)) for side in sides for table in side.tables.values())
        task = "class by client"
    names = [str(path) for path in (train, test) if path is not None]
    for name, side in zip(names, sides, strict=True):
        for client, table in side.tables.items():
            table["y"] = _labels(place(name, client), table["y"], is_text, num_classes)
    files = [
        File(name, {client: len(table["y"]) for client, table in side.tables.items()}, side.tables.__getitem__)
        for name, side in zip(names, sides, strict=True)
    ]
    about = About("leaf", task, num_classes, values.source("LEAF JSON", train, test))
    cut = Cut(split, None if is_text else seed, incomplete, min_rows)
    return join(files, cut, about, groups=_groups(names, sides))


def _side(path: str | PathLike[str], convert: Callable | None, known: tuple[np.ndarray, np.ndarray]) -> Found:
    """All files of one side, x converted and y as numpy reads it."""
    folder, tables, groups, home = Path(path), {}, {}, {}
    paths = sorted(folder.glob("*.json")) if folder.is_dir() else [folder]
    if not paths:
        raise PflError(f"{path}: expected .json files, got a folder without any")
    for file in paths:
        data = _parsed(file)
        clients = _listed(file, data, "users")
        hierarchies = _hierarchies(file, data, clients)
        sizes = _listed(file, data, "num_samples")
        if len(sizes) != len(clients):
            raise PflError(
                f"{file}: expected a number in num_samples for each of {len(clients)} users, got {len(sizes)}"
            )
        for key, size in zip(clients, sizes, strict=True):
            client = values.utf8(f"{file}, users", key)
            if client in tables:
                raise PflError(
                    f"{place(str(file), client)}: expected every client once, got it in {home[client]} as well"
                )
            x, y = _columns(place(str(file), client), data["user_data"].pop(client, None), size)
            tables[client] = {
                "x": _inputs(place(str(file), client), x, convert, known),
                "y": _numpy(place(str(file), client), y, known),
            }
            home[client] = file
        groups |= hierarchies
    if not tables:
        raise PflError(f"{path}: expected at least one client in users, got none")
    return Found(tables, groups)


def _parsed(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise PflError(f"{path}: expected a JSON file, got {error}; restore or make the file again") from error
    missing = [key for key in KEYS if key not in data] if isinstance(data, dict) else []
    if missing or not isinstance(data, dict):
        got = f"none called {missing[0]!r}" if missing else f"a {type(data).__name__}"
        raise PflError(f"{path}: expected an object with {', '.join(KEYS)}, got {got}")
    if not isinstance(data["user_data"], dict):
        raise PflError(f"{path}: expected an object of clients in user_data, got a {type(data['user_data']).__name__}")
    return data


def _listed(path: Path, data: dict[str, Any], key: str) -> list:
    if not isinstance(data[key], list):
        raise PflError(f"{path}: expected a list in {key!r}, got a {type(data[key]).__name__}")
    return data[key]


def _hierarchies(path: Path, data: dict[str, Any], clients: list) -> dict[str, str]:
    """{client: group}. LEAF leaves users without enough rows out of `users`, but neither of user_data nor of this."""
    if data.get("hierarchies") is None:
        return {}
    groups = _listed(path, data, "hierarchies")
    owners = clients if len(groups) == len(clients) else list(data["user_data"])
    if len(groups) != len(owners):
        raise PflError(f"{path}: expected a group in hierarchies for each of {len(clients)} users, got {len(groups)}")
    return {client: values.utf8(f"{path}, hierarchies", group) for client, group in zip(owners, groups, strict=True)}


def _columns(where: str, found: Any, size: Any) -> tuple[list, list]:
    if not isinstance(found, dict) or not all(isinstance(found.get(key), list) for key in "xy"):
        got = ", ".join(found) or "an empty object" if isinstance(found, dict) else f"a {type(found).__name__}"
        raise PflError(f"{where}: expected lists x and y in user_data, got {got}")
    x, y = found["x"], found["y"]
    if not len(x) == len(y) == size:
        raise PflError(f"{where}: expected as many x and y as num_samples says, {size}, got {len(x)} and {len(y)}")
    return x, y


def _inputs(where: str, x: list, convert: Callable | None, known: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    if convert is not None:
        return np.asarray(values.converted(where, convert, x)) if x else np.empty(0)
    array = _numpy(f"{where}, x", x, known)
    if array.dtype.kind == "u" or not x:
        return array
    return _single(f"{where}, x", array)


def _single(where: str, array: np.ndarray) -> np.ndarray:
    """As float32. Raises PflError for what is too large for it."""
    with np.errstate(over="ignore"):
        made = array.astype(np.float32)
    return _finite(where, made)


def _finite(where: str, array: np.ndarray) -> np.ndarray:
    if not (good := np.isfinite(array)).all():
        row = int(np.argmin(good.reshape(len(array), -1).all(axis=1)))
        raise PflError(
            f"{where}: expected finite numbers that a float32 holds, got {array[row]} in row {row}; impute or drop it"
        )
    return array


def _numpy(where: str, rows: list, known: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """[row, ...]: uint8 symbols of strings, else int64 or float64."""
    if rows and all(isinstance(row, str) for row in rows):
        if len(lengths := set(map(len, rows))) > 1:
            raise PflError(f"{where}: expected strings of one length, got lengths {sorted(lengths)[:5]}; use convert")
        return values.symbols("".join(rows), known).reshape(len(rows), -1)
    try:
        array = np.asarray(rows)
    except ValueError as error:
        raise PflError(f"{where}: expected lists of one length, got ragged ones; pad them, or use convert") from error
    if array.dtype.kind not in "fi":
        raise PflError(f"{where}: expected numbers, or strings of one length, got {array.dtype} data; use convert")
    return _finite(where, array)


def _labels(where: str, y: np.ndarray, is_text: bool, num_classes: int) -> np.ndarray:
    """[row] uint8 symbols, int32 classes, or float32 targets where num_classes is 0."""
    if is_text:
        if len(y) and (y.dtype.kind != "u" or y.shape[1:] != (1,)):
            raise PflError(
                f"{where}: expected one character for each y, as for other clients, got {y.dtype}{list(y.shape)}"
            )
        return y.astype(np.uint8).reshape(-1)
    if not num_classes:
        if y.ndim != 1:
            raise PflError(f"{where}: expected one number a row for y, got shape {list(y.shape)}")
        return _single(where, y)
    if y.dtype.kind == "f" and (y == np.rint(y)).all():
        y = y.astype(np.int64)
    return values.classes(where, y, num_classes)


def _groups(names: list[str], sides: list[Found]) -> dict[str, str] | None:
    """{client: group} over both sides; a client without one is a group of its own. None if nobody has one."""
    if not any(side.groups for side in sides):
        return None
    groups = {client: client for side in sides for client in side.tables}
    for side in sides:
        groups |= side.groups
    if len(sides) == 2:
        first, second = (side.groups for side in sides)
        if other := [client for client in first if second.get(client, first[client]) != first[client]]:
            raise PflError(
                f"{place(names[1], other[0])}: expected the group of {names[0]}, {first[other[0]]!r}, "
                f"got {second[other[0]]!r}; a client is in one group"
            )
    return groups
