"""FedJAX's sqlite files: federated_data(client_id, data, num_examples), data a zlib-compressed msgpack of arrays.

The msgpack is that of `flax.serialization`, {name: array} with arrays as extension type 1; FedJAX adds type 4,
[shape, flat list of bytes], for arrays of byte strings.
"""

import sqlite3
import zlib
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
from flax.serialization import msgpack_restore

from pfljax.data.importers import values
from pfljax.data.importers.pairs import Cut, File, Incomplete, Table, join, place
from pfljax.data.population import About, Population
from pfljax.data.split import Shares
from pfljax.errors import PflError, whole

TABLE, COLUMNS = "federated_data", ("client_id", "data", "num_examples")
BYTE_STRINGS = 4  # FedJAX's extension type


def fedjax(
    train: str | PathLike[str],
    test: str | PathLike[str] | None = None,
    split: Shares = (0.6, 0.2, 0.2),
    seed: int | None = 0,
    *,
    convert: Callable[[Table], Table] | None = None,
    num_classes: int | None = None,
    incomplete: Incomplete = "refuse",
    min_rows: int = 0,
) -> Population:
    """FedJAX's populations: one sqlite file for train and one for test, as its `SQLiteFederatedData` reads them.

    convert: makes a client's {name: [row, ...]} of the file's, row for row, e.g.
      `lambda table: {"x": ink(table["pixels"]), "y": table["label"]}` for EMNIST; None takes all arrays as they are.
      Byte strings come as [row] object arrays of bytes; it must leave them out or turn them into numbers
    num_classes: of whole numbers in "y", which become int32; None counts them up to the largest in the files

    split, seed, incomplete, min_rows: see `Cut`. Raises PflError, naming file and client, for files that are not so.
    """
    if num_classes is not None:
        whole("num_classes", num_classes, 2)
    with ExitStack() as stack:
        files = [_file(stack, str(path), convert, num_classes) for path in (train, test) if path is not None]
        about = About("fedjax", "", num_classes or 0, values.source("FedJAX sqlite", train, test))
        population = join(files, Cut(split, seed, incomplete, min_rows), about)
    y = population.arrays.get("y")
    if num_classes is None and y is not None and y.dtype.kind == "i":
        return replace(population, about=replace(about, num_classes=int(y.max()) + 1))
    return population


def _file(stack: ExitStack, name: str, convert: Callable[[Table], Table] | None, num_classes: int | None) -> File:
    """The clients of a file, open as long as the stack is. Raises PflError for one that is no such database."""
    if not Path(name).is_file():
        raise PflError(f"{name}: expected a sqlite file, got none of that name")
    base = stack.enter_context(closing(sqlite3.connect(f"{Path(name).resolve().as_uri()}?mode=ro", uri=True)))
    base.text_factory = bytes
    ask = lambda query, *arguments: _asked(name, base, query, *arguments)
    found = [column.decode(errors="replace") for _, column, *_ in ask(f"PRAGMA table_info({TABLE})")]
    if not set(COLUMNS) <= set(found):
        raise PflError(f"{name}: expected a table {TABLE} with {', '.join(COLUMNS)}, got {', '.join(found) or 'none'}")
    (pages,), (size,) = ask("PRAGMA page_count")[0], ask("PRAGMA page_size")[0]
    if (num_bytes := Path(name).stat().st_size) < pages * size:  # sqlite reads a last page that is cut off as zeros
        raise PflError(f"{name}: expected {pages * size} bytes, got {num_bytes}; the file is truncated, fetch it again")
    rows, numbers = {}, {}
    for number, key, num_rows in ask(f"SELECT rowid, client_id, num_examples FROM {TABLE} ORDER BY rowid"):
        client = values.utf8(f"{name}, client_id of rowid {number}", key)
        where = place(name, client)
        if client in rows:
            raise PflError(f"{where}: expected every client once, got it twice, as text and as bytes")
        rows[client], numbers[client] = whole(f"{where}, num_examples", num_rows, 0), number
    if not rows:
        raise PflError(f"{name}: expected at least one client in {TABLE}, got none")

    def read(client: str) -> Table:
        where, found = place(name, client), ask(f"SELECT data FROM {TABLE} WHERE rowid = ?", numbers[client])
        if not found:
            raise PflError(
                f"{where}: expected rowid {numbers[client]} to be found again, got none; the file is damaged"
            )
        table = _arrays(where, found[0][0])
        made = table if convert is None else values.converted(where, convert, table)
        if not isinstance(made, Mapping):
            raise PflError(f"{where}: expected {{name: array}} from convert, got a {type(made).__name__}")
        return {column: _checked(where, column, array, num_classes) for column, array in made.items()}

    return File(name, rows, read)


def _asked(name: str, base: sqlite3.Connection, query: str, *arguments: Any) -> list[tuple]:
    try:
        return base.execute(query, arguments).fetchall()
    except (sqlite3.Error, UnicodeError) as error:  # a damaged schema may be quoted in bytes that are no text
        raise PflError(f"{name}: expected a sqlite database, got {error}; restore or fetch the file again") from error


def _arrays(where: str, data: Any) -> Table:
    """{name: [row, ...]}, read-only; byte strings as object arrays."""
    if not isinstance(data, bytes):
        raise PflError(f"{where}: expected compressed bytes in data, got a {type(data).__name__}")
    try:
        found: Any = msgpack_restore(zlib.decompress(data))
        table = {name: _byte_strings(array) for name, array in found.items()}
    except Exception as error:  # a decoder of damaged bytes raises nearly anything
        raise PflError(
            f"{where}: expected zlib-compressed msgpack of arrays, got {type(error).__name__}: {error}; fetch it again"
        ) from error
    if odd := [name for name, array in table.items() if not isinstance(array, np.ndarray)]:
        raise PflError(f"{where}: expected arrays, got a {type(table[odd[0]]).__name__} for {odd[0]!r}")
    return table


def _byte_strings(value: Any) -> Any:
    """An object array of bytes from FedJAX's own extension type; anything else as it is."""
    if not (isinstance(value, msgpack.ExtType) and value.code == BYTE_STRINGS):
        return value
    shape, flat = msgpack.unpackb(value.data, raw=True)
    array = np.empty(len(flat), object)
    array[:] = flat
    return array.reshape(shape)


def _checked(where: str, name: str, array: Any, num_classes: int | None) -> np.ndarray:
    """An array of finite numbers; whole ones called "y" as int32 labels from 0."""
    array = np.asarray(array)
    if array.dtype.kind not in "fiub":
        got = "byte strings" if array.dtype.kind == "O" else f"dtype {array.dtype}"
        raise PflError(f"{where}: expected numbers in {name!r}, got {got}; encode them, or leave them out, by convert")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise PflError(f"{where}: expected finite numbers in {name!r}, got NaN or infinity; impute or drop the row")
    if name != "y" or array.dtype.kind not in "iu":
        return array
    most = num_classes or np.iinfo(np.int32).max
    if array.size and (array.min() < 0 or array.max() >= most):
        raise PflError(f"{where}: expected labels y from 0 to {most - 1}, got {array.min()} to {array.max()}; recode y")
    return array.astype(np.int32)
