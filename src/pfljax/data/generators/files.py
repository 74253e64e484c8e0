"""An array too large for memory: written once, mapped from then on."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from pfljax.errors import PflError

LAYOUT = 1  # of what is written: another number, and older files are not opened any more


def written(
    folder: str | os.PathLike[str], name: str, shape: tuple[int, ...], dtype: DTypeLike, fill: Callable
) -> np.ndarray:
    """The array in folder/name, mapped; written by fill(array) first where it is not there, and seen only when whole.

    Raises PflError where the folder cannot be written to, or the file is not such an array.
    """
    path = Path(folder) / f"{name}-{LAYOUT}.npy"
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f"{path.stem}-", dir=path.parent) as draft:
                made = np.lib.format.open_memmap(f"{draft}/array.npy", mode="w+", dtype=dtype, shape=shape)
                fill(made)
                made.flush()
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
