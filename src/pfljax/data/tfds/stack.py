"""What was read once, stacked in files that are mapped from then on.

    <cache>/tfds/<name>-<digest>/about.json   what is here: the columns, the keys' values, rows of each split
                                 0.npy ...    one column each, in the order it was read
                                 key0.npy ... [row] int32, positions in the key's values
                                 by-<digest>/0.npy ...  the same columns in another order

A folder is written under another name and renamed when it is whole. Sizes and headers are checked when it is opened
(a damaged one is refused, with what to delete), contents are not. The digest is over all that decides the content:
what was asked, and names, sizes and times of the prepared files. Deleting any of it is safe.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pfljax import cache
from pfljax.data.tfds import features, source
from pfljax.data.tfds.features import Column
from pfljax.errors import PflError

FORMAT = 1
BLOCK = 2**24  # bytes that are read at a time
LEAST_PART = 2**26  # bytes of a column that are put in order at a time, or a quarter of it


@dataclass(frozen=True)
class Stack:
    """Rows of some splits, one split after another, as they were read.

    arrays: {name: [row, ...]} mapped; codes: {key: [row] int32}, positions in values: {key: its different texts};
    counts: rows of each split
    """

    folder: Path
    arrays: dict[str, np.memmap]
    codes: dict[str, np.ndarray]
    values: dict[str, list[str]]
    counts: list[int]


def stack(builder: Any, splits: Sequence[str], arrays: Mapping[str, Column], keys: Mapping[str, Column]) -> Stack:
    """The rows of some splits: from the cache, or read and put there. keys: {argument: the column it names}."""
    counts = [source.num_rows(builder, split) for split in splits]
    arrays = dict(sorted(arrays.items()))  # a builder and its directory tell their features in different orders
    asked = {
        "format": FORMAT,
        "name": builder.info.full_name,
        "splits": list(splits),
        "arrays": {name: column.path for name, column in arrays.items()},
        "keys": {name: column.path for name, column in keys.items()},
        "files": sorted([path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in _files(builder)),
    }
    digest = hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]
    folder = cache.folder() / "tfds" / f"{builder.name}-{digest}"
    if not folder.exists():
        with _new(folder) as made:
            values = _read(builder, splits, arrays, keys, made, sum(counts))
            specs = {name: [column.dtype.str, list(column.feature.shape)] for name, column in arrays.items()}
            about = asked | {"counts": counts, "specs": specs, "values": values}
            (made / "about.json").write_text(json.dumps(about), encoding="utf-8")
    return _open(folder, keys, counts)


def arranged(stack: Stack, order: np.ndarray) -> Mapping[str, np.ndarray]:
    """{name: [row, ...]} mapped: the stack's arrays in another order, which may leave rows out. order: [row] int64."""
    if len(order) == sum(stack.counts) and (order == np.arange(len(order))).all():
        return stack.arrays
    folder = stack.folder / f"by-{hashlib.sha256(np.ascontiguousarray(order, '<i8').data).hexdigest()[:16]}"
    if not folder.exists():
        with _new(folder) as made:
            for index, array in enumerate(stack.arrays.values()):
                with _npy(made / f"{index}.npy", array.dtype, (len(order), *array.shape[1:])) as write:
                    for part in _parts(stack.folder / f"{index}.npy", array, order):
                        write(part)
    return {
        name: _mapped(folder, f"{index}.npy", array.dtype, (len(order), *array.shape[1:]))
        for index, (name, array) in enumerate(stack.arrays.items())
    }


def _read(
    builder: Any,
    splits: Sequence[str],
    arrays: Mapping[str, Column],
    keys: Mapping[str, Column],
    folder: Path,
    total: int,
) -> dict[str, list[str]]:
    """Writes columns and keys into the folder, chunk by chunk. Gives every key's different values, first seen first."""
    seen: dict[str, dict[Any, int]] = {name: {} for name in keys}
    codes = {name: np.empty(total, np.int32) for name in keys}
    begin, row_bytes = 0, sum(column.row_bytes for column in arrays.values())
    with _all_npy(folder, arrays, total) as writers:
        for split in splits:
            for rows in source.chunks(builder, split, row_bytes):
                count = 0
                for (name, column), write in zip(arrays.items(), writers, strict=True):
                    chunk = features.stacked(column, name, column.values(rows), begin)
                    count = len(chunk)
                    write(chunk)
                for name, column in keys.items():
                    raw, known = column.values(rows), seen[name]
                    raw = raw.tolist() if isinstance(raw, np.ndarray) else raw
                    codes[name][begin : begin + count] = [known.setdefault(value, len(known)) for value in raw]
                begin += count
    for index, name in enumerate(keys):
        np.save(folder / f"key{index}.npy", codes[name], allow_pickle=False)
    return {name: features.texts(column, name, list(seen[name])) for name, column in keys.items()}


def _parts(path: Path, array: np.memmap, order: np.ndarray) -> Iterator[np.ndarray]:
    """The rows of a column's file in another order, part by part, in memory of a part and a block.

    Each part reads the whole file from its begin to its end: mapped and gathered, it would all count as memory used.
    """
    row_bytes = max(1, array[:1].nbytes)
    step = max(1, max(LEAST_PART, array.nbytes // 4) // row_bytes)
    block = max(1, BLOCK // row_bytes)
    begins = np.arange(0, len(array), block)
    for first in range(0, len(order), step):
        mine = order[first : first + step]
        at = np.argsort(mine, kind="stable")
        rising = mine[at]
        edges = np.searchsorted(rising, np.append(begins, len(array)))
        part = np.empty((len(mine), *array.shape[1:]), array.dtype)
        with path.open("rb") as file:
            file.seek(array.offset)
            for index, begin in enumerate(begins.tolist()):
                count = min(block, len(array) - begin)
                rows = np.fromfile(file, array.dtype, count * array[:1].size).reshape(count, *array.shape[1:])
                chosen = slice(int(edges[index]), int(edges[index + 1]))
                part[at[chosen]] = rows[rising[chosen] - begin]
        yield part


def _files(builder: Any) -> list[Path]:
    return [path for path in Path(str(builder.data_path)).iterdir() if path.is_file()]


@contextmanager
def _new(folder: Path) -> Iterator[Path]:
    """A folder to fill that becomes `folder` at the end, or nothing. Raises PflError where there is no room."""
    made = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
        yield made
        try:
            made.rename(folder)
        except OSError:
            if not folder.exists():  # otherwise another process was faster, with the same content
                raise
    except OSError as error:
        raise PflError(
            f"cache: expected to write {folder}, got {type(error).__name__}: {error}; make room there or set "
            "XDG_CACHE_HOME to another folder"
        ) from error
    finally:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)


@contextmanager
def _npy(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> Iterator[Callable[[np.ndarray], Any]]:
    """Writes an .npy file piece by piece: a mapped one would count as memory used."""
    with path.open("wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        yield lambda part: file.write(np.ascontiguousarray(part).data)


@contextmanager
def _all_npy(folder: Path, arrays: Mapping[str, Column], total: int) -> Iterator[list[Callable]]:
    with ExitStack() as files:
        yield [
            files.enter_context(_npy(folder / f"{index}.npy", column.dtype, (total, *column.feature.shape)))
            for index, column in enumerate(arrays.values())
        ]


def _open(folder: Path, keys: Mapping[str, Column], counts: list[int]) -> Stack:
    try:
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        specs = {name: (np.dtype(dtype), tuple(shape)) for name, (dtype, shape) in about["specs"].items()}
        values = {name: [str(text) for text in about["values"][name]] for name in keys}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(folder, "about.json", f"{type(error).__name__}: {error}") from error
    total = sum(counts)
    arrays = {
        name: _mapped(folder, f"{index}.npy", dtype, (total, *shape))
        for index, (name, (dtype, shape)) in enumerate(specs.items())
    }
    codes = {
        name: np.array(_mapped(folder, f"key{i}.npy", np.dtype(np.int32), (total,))) for i, name in enumerate(keys)
    }
    for index, name in enumerate(keys):
        if codes[name].min() < 0 or codes[name].max() >= len(values[name]):
            raise _damaged(folder, f"key{index}.npy", f"codes outside the {len(values[name])} values")
    return Stack(folder, arrays, codes, values, counts)


def _mapped(folder: Path, file: str, dtype: np.dtype, shape: tuple[int, ...]) -> np.memmap:
    try:
        array = np.load(folder / file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(folder, file, f"{type(error).__name__}: {error}") from error
    if array.dtype != dtype or array.shape != shape:
        raise _damaged(folder, file, f"{array.dtype}{list(array.shape)} instead of {dtype}{list(shape)}")
    if (size := (folder / file).stat().st_size) != array.offset + array.nbytes:
        raise _damaged(folder, file, f"{size} bytes instead of {array.offset + array.nbytes}")
    return array


def _damaged(folder: Path, file: str, got: str) -> PflError:
    return PflError(
        f"{folder / file}: expected what was once written there, got {got}; delete {folder}, it is made again"
    )
