"""Arrays that live in files."""

import os

import numpy as np

from pfljax.errors import PflError


def memory_map(array: np.ndarray) -> np.memmap | None:
    """The memory map that an array is a view of, if it is one."""
    base: object = array
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    return base if isinstance(base, np.memmap) else None


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
