"""What the cells of a column are: numbers, labels, times or words. Missing ones are refused, with their place."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pfljax.data.importers.read import Column
from pfljax.data.importers.rows import Rows
from pfljax.data.memory import empty
from pfljax.errors import PflError

INT32 = np.iinfo(np.int32)


def words(at: Callable[[int], str], values: Column) -> tuple[tuple[str, ...], np.ndarray]:
    """(the distinct words of a column in sorted order, [row] int64 which one). Whole numbers count as words.

    at: row -> where that is, for messages
    """
    import pyarrow as pa
    from pyarrow import types

    if isinstance(values, np.ndarray):
        raise PflError(f"{at(0)}: expected one word or number a row, got shape {list(values.shape[1:])}")
    values = plain(values)
    missing = _numpy(values.is_null(nan_is_null=True))
    if missing.any():
        raise _missing(at, missing)
    kind = values.type
    if not (is_text(kind) or types.is_binary(kind) or types.is_large_binary(kind) or types.is_integer(kind)):
        raise PflError(f"{at(0)}: expected text or whole numbers, got {kind}; cast it to text")
    try:
        encoded = values.cast(pa.large_string()).dictionary_encode().combine_chunks()
    except pa.ArrowInvalid as error:
        raise PflError(f"{at(0)}: expected a column of text in UTF-8, got other bytes; decode it first") from error
    known, codes = encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)
    if "" in known:
        raise _missing(at, codes == known.index(""))
    order = sorted(range(len(known)), key=known.__getitem__)
    rank = np.empty(len(known), np.int64)
    rank[order] = np.arange(len(known))
    return tuple(known[index] for index in order), rank[codes]


def numbers(rows: Rows, name: str) -> np.ndarray:
    """[row, ...]: numbers or booleans, none missing, all finite. Lists of one length are stacked."""
    from pyarrow import types

    values = rows.columns[name]
    if isinstance(values, np.ndarray):
        if values.dtype.kind not in "fiub":
            raise PflError(f"{rows.at(name, 0)}: expected numbers or booleans, got dtype {values.dtype}; encode it")
        return _finite(rows, name, values)
    values = plain(values)
    shape = [len(values)]
    _present(rows, name, values, shape)
    while types.is_list(values.type) or types.is_large_list(values.type) or types.is_fixed_size_list(values.type):
        values = values.combine_chunks() if hasattr(values, "chunks") else values
        lengths = _numpy(values.value_lengths())
        if (odd := lengths != lengths[0]).any():
            raise PflError(
                f"{rows.at(name, _row(odd, shape))}: expected {lengths[0]} values as before it, "
                f"got {lengths[odd][0]}; pad the ragged column first"
            )
        shape.append(int(lengths[0]))
        values = values.flatten()
        _present(rows, name, values, shape)
    if types.is_decimal(values.type):
        values = values.cast("float64")
    if not (types.is_integer(values.type) or types.is_floating(values.type) or types.is_boolean(values.type)):
        got = repr(values[0].as_py()) if len(values) else "nothing"
        raise PflError(
            f"{rows.at(name, 0)}: expected a number, got {got} ({values.type}); encode it, or make it the label"
        )
    return _finite(rows, name, _numpy(values).reshape(shape))


def narrow(rows: Rows, name: str, values: np.ndarray) -> np.ndarray:
    """64-bit numbers as 32-bit ones, which is what devices hold; others as they are."""
    if values.dtype.itemsize < 8:
        return values
    if values.dtype.kind == "f":
        return _float32(rows, name, values)
    if values.size and (values.max() > INT32.max or values.min() < INT32.min):
        outside = (values > INT32.max) | (values < INT32.min)
        where, got = rows.at(name, _row(outside, values.shape)), values[outside][0]
        raise PflError(f"{where}: expected whole numbers that an int32 holds, got {got}; rescale them")
    return values.astype(np.int32)


def stacked(rows: Rows, names: Sequence[str], order: np.ndarray) -> np.ndarray:
    """[row, feature] float32: columns of one number a row, side by side, their rows in the order given."""
    x = empty((len(order), len(names)), np.dtype(np.float32))
    for index, name in enumerate(names):
        x[:, index] = _float32(rows, name, _one_each(rows, name, numbers(rows, name)))[order]
    return x


def labels(rows: Rows, name: str, num_classes: int) -> tuple[np.ndarray, int]:
    """([row] int32 classes or float32 targets, the number of classes, 0 for targets).

    Text is numbered in sorted order. num_classes: as stated beforehand, or 0
    """
    column = rows.columns[name]
    if not isinstance(column, np.ndarray) and is_text(plain(column).type):
        known, classes = words(lambda row: rows.at(name, row), column)
        found = len(known)
    else:
        classes = narrow(rows, name, _one_each(rows, name, numbers(rows, name)))
        if classes.dtype.kind == "f":
            return classes.astype(np.float32), 0
        if (negative := classes < 0).any():
            where, got = rows.at(name, _row(negative, classes.shape)), classes[negative][0]
            raise PflError(f"{where}: expected classes from 0, got {got}; for regression make them floats")
        found = 2 if classes.dtype.kind == "b" else int(classes.max()) + 1
    if num_classes and found > num_classes:
        where = rows.at(name, int(np.argmax(classes)))
        raise PflError(f"{where}: expected about.num_classes={num_classes} classes, got at least {found}; raise it")
    return classes.astype(np.int32), num_classes or found


def moments(rows: Rows, name: str) -> np.ndarray:
    """[row]: numbers, dates or times of day as something to sort by."""
    from pyarrow import types

    values = rows.columns[name]
    if isinstance(values, np.ndarray):
        return _one_each(rows, name, numbers(rows, name))
    kind = values.type
    if types.is_temporal(kind):
        _present(rows, name, values, [len(values)])
        is_clock = types.is_time(kind) or types.is_duration(kind)
        return _numpy(values.cast(f"int{kind.bit_width}") if is_clock else values)
    if is_text(plain(values).type):
        _present(rows, name, values, [len(values)])
        raise PflError(f"{rows.at(name, 0)}: expected a number or a date, got {values[0].as_py()!r}; parse it first")
    return _one_each(rows, name, numbers(rows, name))


def groups(rows: Rows, name: str) -> tuple[str, ...]:
    """[client] the group that all of a client's rows name."""
    known, codes = words(lambda row: rows.at(name, row), rows.columns[name])
    mine = codes[np.unique(rows.codes, return_index=True)[1]]
    if (other := codes != mine[rows.codes]).any():
        row = int(np.argmax(other))
        raise PflError(
            f"{rows.at(name, row)}: expected the client's group {known[mine[rows.codes[row]]]!r}, "
            f"got {known[codes[row]]!r}; a client is in one group"
        )
    return tuple(known[index] for index in mine)


def is_text(kind: Any) -> bool:
    """Whether a pyarrow type is one of its kinds of text."""
    from pyarrow import types

    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def plain(values: Any) -> Any:
    """Categories as what they stand for."""
    import pyarrow as pa
    from pyarrow import types

    if not types.is_dictionary(values.type):
        return values
    kind = pa.large_string() if is_text(values.type.value_type) else values.type.value_type
    return pa.chunked_array([chunk.dictionary.cast(kind).take(chunk.indices) for chunk in values.chunks], kind)


# ---- small steps ----


def _numpy(values: Any) -> np.ndarray:
    return values.to_numpy(zero_copy_only=False)


def _row(flags: np.ndarray, shape: Sequence[int]) -> int:
    """The row of the first True of flags, which lie as an array of that shape, rows first."""
    return int(np.argmax(flags)) // int(np.prod(shape[1:], dtype=np.int64))


def _present(rows: Rows, name: str, values: Any, shape: Sequence[int]) -> None:
    missing = _numpy(values.is_null(nan_is_null=True))
    if missing.any():
        raise _missing(lambda row: rows.at(name, row), missing, shape)


def _missing(at: Callable[[int], str], missing: np.ndarray, shape: Sequence[int] = (0,)) -> PflError:
    return PflError(f"{at(_row(missing, shape))}: expected a value, got a missing one; impute it or drop the row")


def _finite(rows: Rows, name: str, values: np.ndarray) -> np.ndarray:
    if values.dtype.kind == "f" and (bad := ~np.isfinite(values)).any():
        where, got = rows.at(name, _row(bad, values.shape)), values[bad][0]
        raise PflError(f"{where}: expected finite numbers, got {got}; impute it or drop the row")
    return values


def _float32(rows: Rows, name: str, values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        narrowed = values.astype(np.float32)
    if (beyond := np.isinf(narrowed)).any():
        where, got = rows.at(name, _row(beyond, values.shape)), values[beyond][0]
        raise PflError(f"{where}: expected numbers that a float32 holds, got {got}; rescale them")
    return narrowed


def _one_each(rows: Rows, name: str, values: np.ndarray) -> np.ndarray:
    if values.ndim != 1:
        raise PflError(
            f"{rows.at(name, 0)}: expected one number a row, got shape {list(values.shape[1:])}; take it by `columns`"
        )
    return values
