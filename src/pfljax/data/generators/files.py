"""An array that is made in parts: in memory, or where it is too large, written once and mapped from then on."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from pfljax.data.memory import empty
from pfljax.errors import PflError

LAYOUT = 1  # of what is written: another number, and older files are not opened any more


Parts = Callable[[], Iterator[np.ndarray]]  # [row, ...], one after another


def joined(parts: Parts, shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    array, begin = empty(shape, np.dtype(dtype)), 0
    for part in parts():
        array[begin : begin + len(part)] = part
        begin += len(part)
    return array


def written(
    folder: str | os.PathLike[str], name: str, parts: Parts, shape: tuple[int, ...], dtype: DTypeLike
) -> np.ndarray:
    """The array in folder/name, mapped; made of its parts first where it is not there, and seen only when whole.

    Raises PflError where the folder cannot be written to, or the file is not such an array.
    """
    path = Path(folder) / f"{name}-{LAYOUT}.npy"
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f"{path.stem}-", dir=path.parent) as draft:
                with open(f"{draft}/array.npy", "wb") as file:  # a map to write to would count as memory of ours
                    header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
                    np.lib.format.write_array_header_1_0(file, header)
                    for part in parts():
                        part.tofile(file)
                os.replace(f"{draft}/array.npy", path)
    except OSError as error:
        raise PflError(f"folder: expected one that can be written to, got {error}") from error
    try:
        array = np.lib.format.open_memmap(path, mode="r")  # never a pickle
    except (OSError, ValueError) as error:
        raise PflError(f"{path}: expected an array written before, got {error}; delete it to make it again") from error
    if array.shape != shape or array.dtype != dtype:
        raise PflError(
            f"{path}: expected {np.dtype(dtype)}{list(shape)}, got {array.dtype}{list(array.shape)}; delete it to make "
            "it again"
        )
    return array
