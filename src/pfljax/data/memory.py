"""Where arrays lie: in memory that devices can use as it is, or in files."""

import math
import mmap
import os

import numpy as np

from pfljax.errors import PflError

ALIGNMENT = 64  # bytes; CPU devices use numpy's memory as it is where it begins at a multiple of this


def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Uninitialized memory that CPU devices can use as it is."""
    num_bytes = math.prod(shape) * dtype.itemsize
    raw = np.empty(num_bytes + ALIGNMENT, np.uint8)
    begin = -raw.ctypes.data % ALIGNMENT
    return raw[begin : begin + num_bytes].view(dtype).reshape(shape)


def aligned(array: np.ndarray) -> np.ndarray:
    """The array itself if CPU devices can use its memory, else a copy that they can."""
    if array.ctypes.data % ALIGNMENT == 0 and array.flags.c_contiguous:
        return array
    copy = empty(array.shape, array.dtype)
    copy[...] = array
    return copy


def memory_map(array: np.ndarray) -> np.memmap | None:
    """The memory map that an array is a view of, if it is one."""
    base: object = array
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    return base if isinstance(base, np.memmap) else None


def announce(array: np.ndarray, begin: np.ndarray, end: np.ndarray) -> None:
    """Tells the kernel that the rows begin[i]:end[i] of a mapped array are read next, each i: [run] int64.

    It then reads them together; a gather of scattered rows would meet the disk page by page. Other arrays: no effect.
    """
    mapped = memory_map(array)
    if mapped is None or not hasattr(mmap, "MADV_WILLNEED"):
        return
    file: mmap.mmap = mapped._mmap  # pyright: ignore[reportAttributeAccessIssue]
    first = array.ctypes.data - np.frombuffer(file, np.uint8).ctypes.data
    for start, stop in zip(
        (first + begin * array.strides[0]).tolist(), (first + end * array.strides[0]).tolist(), strict=True
    ):
        page = start - start % mmap.PAGESIZE
        file.madvise(mmap.MADV_WILLNEED, page, min(stop, len(file)) - page)


def check_mapped(name: str, array: np.ndarray) -> None:
    """Refuses an array whose file has shrunk: reading past a file's end would kill the process.

    Raises PflError with both sizes.
    """
    mapped = memory_map(array)
    if mapped is None or mapped.filename is None:
        return
    expected = mapped.offset + mapped.nbytes
    try:
        found = os.path.getsize(mapped.filename)
    except OSError as error:
        raise PflError(f"array {name!r}: expected its file {mapped.filename} to be there, got {error}") from error
    if found < expected:
        raise PflError(
            f"array {name!r}: expected its file {mapped.filename} to have {expected} bytes, got {found}; it has "
            "shrunk since it was opened: restore it and open it again"
        )
