"""Opens what tables lie in: csv, parquet and npz files, frames, mappings of arrays. Nothing is interpreted here.

A column is a pyarrow `ChunkedArray`, or a numpy array [row, ...] where it has more than one axis.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pfljax.errors import PflError, nearest

if TYPE_CHECKING:
    import pyarrow as pa

Column = Any  # pa.ChunkedArray | np.ndarray
KINDS = (".csv", ".parquet", ".npz")
BLOCK = 2**24  # bytes of a csv file read at once; no row can be longer than two


def title(source: object) -> str:
    """What messages call a source: a file's name, or "table"."""
    return Path(source).name if isinstance(source, str | os.PathLike) else "table"


def names(source: object) -> tuple[str, ...]:
    """The names of a source's columns. Raises PflError for what is no source or cannot be read."""
    if isinstance(source, str | os.PathLike):
        found = _file_names(_kind(Path(source)), Path(source))
    elif hasattr(source, "__arrow_c_stream__"):
        found = getattr(source, "column_names", None) or getattr(source, "columns", ())
    elif isinstance(source, Mapping):
        found = source
    else:
        raise PflError(
            f"source: expected a path, a pandas or polars DataFrame or {{name: array}}, got a {type(source).__name__}"
        )
    return _checked(title(source), tuple(found))


def fetch(source: Any, wanted: Sequence[str], text: Iterable[str] = ()) -> dict[str, Column]:
    """Some columns of a source. text: columns that a csv file has as text, whatever they look like ("007")."""
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        columns = {".csv": _csv, ".parquet": _parquet, ".npz": _npz}[_kind(path)](path, wanted, text)
    elif hasattr(source, "__arrow_c_stream__"):
        columns = {name: _from_frame(source, name) for name in wanted}
    else:
        columns = {name: column(f"table, column {name!r}", source[name]) for name in wanted}
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise PflError(f"{title(source)}: expected columns of one common length, got {lengths}")
    return columns


def column(what: str, values: Any) -> Column:
    """An array-like as a column; `what` it is, for messages. Raises PflError for what has no rows or no one type."""
    import pyarrow as pa

    try:
        array = np.asarray(values)
    except ValueError as error:
        raise PflError(f"{what}: expected rectangular arrays, got ragged ones; pad them first") from error
    if array.ndim == 0:
        raise PflError(f"{what}: expected an array [row, ...], got the single value {array[()]!r}")
    if array.ndim > 1:
        return array
    try:
        return pa.chunked_array([pa.array(array, from_pandas=True)])
    except (pa.ArrowException, OverflowError) as error:
        raise _mixed(what, error) from error


def lacks(what: str, name: object, known: Iterable[str]) -> PflError:
    """The error for a column that is not there."""
    known = list(known)
    shown = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
    return PflError(f"{what}: expected a column {name!r}, got {shown}{nearest(str(name), known)}")


def _kind(path: Path) -> str:
    kind = path.suffix.lower()
    if kind not in KINDS:
        raise PflError(f"{path.name}: expected a file that ends in {', '.join(KINDS)}, got {kind or 'no ending'}")
    if not path.is_file():
        raise PflError(f"{path}: expected a file, got {'a folder' if path.is_dir() else 'nothing there'}")
    return kind


def _checked(what: str, found: tuple) -> tuple[str, ...]:
    if odd := [name for name in found if not isinstance(name, str)]:
        raise PflError(f"{what}: expected columns named by text, got the name {odd[0]!r}; rename it")
    if twice := [name for name, times in Counter(found).items() if times > 1]:
        raise PflError(f"{what}: expected every column once, got {twice[0]!r} {found.count(twice[0])} times; rename it")
    return found


def _mixed(what: str, error: Exception) -> PflError:
    return PflError(f"{what}: expected values of one type, got {error.args[0]}; cast it first")


def _damaged(path: Path, error: Exception) -> PflError:
    kind = path.suffix.lower()[1:]
    return PflError(f"{path.name}: expected a whole {kind} file in UTF-8, got {type(error).__name__}: {error}")


# ---- one kind each ----


def _file_names(kind: str, path: Path) -> Iterable[str]:
    import pyarrow as pa
    from pyarrow import csv, parquet

    try:
        if kind == ".csv":
            reading, parsing = csv.ReadOptions(block_size=BLOCK), csv.ParseOptions(newlines_in_values=True)
            with csv.open_csv(path, reading, parsing) as reader:
                return reader.schema.names
        if kind == ".parquet":
            return parquet.read_schema(path).names
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error
    with _archive(path) as archive:
        return archive.files


def _csv(path: Path, wanted: Sequence[str], text: Iterable[str]) -> dict[str, Column]:
    import pyarrow as pa
    from pyarrow import csv

    try:
        table = csv.read_csv(
            path,
            csv.ReadOptions(block_size=BLOCK),
            csv.ParseOptions(newlines_in_values=True),
            csv.ConvertOptions(include_columns=list(wanted), column_types={name: pa.string() for name in text}),
        )
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _damaged(path, error) from error
    return _of_table(table, wanted)


def _parquet(path: Path, wanted: Sequence[str], text: Iterable[str]) -> dict[str, Column]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path, memory_map=True) as file:
            return _of_table(file.read(columns=list(wanted)), wanted)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def _npz(path: Path, wanted: Sequence[str], text: Iterable[str]) -> dict[str, Column]:
    columns = {}
    with _archive(path) as archive:
        for name in wanted:
            try:
                columns[name] = column(f"{path.name}, array {name!r}", archive[name])
            except PflError:
                raise
            except Exception as error:  # zipfile, zlib and numpy each have their own for a damaged member
                message = "got objects; save numbers, for objects are pickled and pickles are not loaded"
                if "allow_pickle" not in str(error):
                    message = f"got {type(error).__name__}: {error}"
                raise PflError(f"{path.name}, array {name!r}: expected a whole array, {message}") from error
    return columns


@contextmanager
def _archive(path: Path) -> Iterator[Any]:
    with path.open("rb") as file:
        try:
            archive = np.load(file, allow_pickle=False)
        except Exception as error:  # as above
            raise _damaged(path, error) from error
        if not hasattr(archive, "files"):
            raise PflError(f"{path.name}: expected an npz archive of named arrays, got a single array; use np.savez")
        yield archive


def _of_table(table: "pa.Table", wanted: Sequence[str]) -> dict[str, Column]:
    return {name: table[name] for name in wanted}


def _from_frame(frame: Any, name: str) -> Column:
    import pyarrow as pa

    try:
        one = frame.select([name]) if hasattr(frame, "column_names") else frame[[name]]
        return pa.table(one)[name]
    except (pa.ArrowException, OverflowError) as error:
        raise _mixed(f"table, column {name!r}", error) from error
