"""What federated formats hold, as numbers: characters, classes, images of ink."""

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from pfljax.data.embedded.text import OTHER
from pfljax.errors import PflError

CHARACTERS = "\t\n\r" + "".join(
    map(chr, range(32, 127))
)  # printable ASCII: all that TFF's and LEAF's plays are made of
SIDE = 28  # of EMNIST's images


def alphabet(characters: str) -> tuple[np.ndarray, np.ndarray]:
    """([character] uint32 sorted code points, [character] uint8 their symbols, which count from 2 in the order given).

    Raises PflError unless there are 1 to 254 characters, each once.
    """
    if not isinstance(characters, str) or not 1 <= len(characters) <= 254 or len(set(characters)) < len(characters):
        raise PflError(f"characters: expected a string of 1 to 254 different characters, got {characters!r}")
    codes = _codes(characters)
    order = np.argsort(codes)
    return codes[order], (order + OTHER + 1).astype(np.uint8)


def symbols(text: str, known: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """[character] uint8: a text by an `alphabet`; characters that are not in it become OTHER."""
    codes, numbers = _codes(text), known[1]
    at = np.minimum(np.searchsorted(known[0], codes), len(known[0]) - 1)
    return np.where(known[0][at] == codes, numbers[at], np.uint8(OTHER))


def classes(where: str, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """[row] int32: labels from 0 to num_classes - 1. Raises PflError for any others."""
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise PflError(
            f"{where}: expected one whole number a row for a label, got {labels.dtype}{list(labels.shape)}; cast it"
        )
    if (wrong := (labels < 0) | (labels >= num_classes)).any():
        row = int(np.argmax(wrong))
        raise PflError(
            f"{where}: expected labels from 0 to {num_classes - 1}, got {int(labels[row])} in row {row}; "
            "recode it, or raise num_classes"
        )
    return labels.astype(np.int32)


def ink(pixels: Any) -> np.ndarray:
    """[example, 28, 28] uint8, 0 for paper and 255 for ink, of EMNIST's floats, which are 1 for paper and 0 for ink.

    pixels: [example, 28, 28] or [example, 784] float, or lists of them. Multiples of 1/255, which 8-bit scans
    make, keep their value exactly. Raises PflError for numbers outside of 0 to 1.

    >>> ink(np.ones((2, 784), np.float32)).max()
    np.uint8(0)
    """
    try:
        values = np.asarray(pixels)
    except ValueError as error:
        raise PflError(f"pixels: expected images of one size, got ragged lists ({error})") from error
    if values.dtype.kind not in "fiu" or values.shape[1:] not in ((SIDE, SIDE), (SIDE * SIDE,)):
        raise PflError(
            f"pixels: expected numbers [example, 28, 28] or [example, 784], got {values.dtype}{list(values.shape)}"
        )
    inside = ((values >= 0) & (values <= 1)).reshape(len(values), -1).all(axis=1)
    if not inside.all():
        row = int(np.argmin(inside))
        raise PflError(
            f"pixels: expected numbers from 0 (ink) to 1 (paper), got {values[row].min()} to {values[row].max()} "
            f"in row {row}"
        )
    return np.rint((1 - values) * 255).astype(np.uint8).reshape(-1, SIDE, SIDE)


def utf8(where: str, value: object) -> str:
    """Text that UTF-8 can hold. Raises PflError for other bytes, and for what is neither bytes nor text."""
    try:
        if isinstance(value, bytes):
            return value.decode()
        if isinstance(value, str):
            value.encode()
            return value
    except UnicodeError as error:
        raise PflError(f"{where}: expected text in UTF-8, got {value!r}; recode it first") from error
    raise PflError(f"{where}: expected text, got {value!r}, a {type(value).__name__}; write it as text")


def converted(where: str, convert: Callable[[Any], Any], raw: Any) -> Any:
    """What a caller's function makes of a client's data; its PflError gets the place in front."""
    try:
        return convert(raw)
    except PflError as error:
        raise PflError(f"{where}, {error}") from error


def source(kind: str, *paths: str | PathLike[str] | None) -> str:
    """What `About.source` says of files: the format and their names."""
    return f"{kind}: {', '.join(Path(path).name for path in paths if path is not None)}"


def _codes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
