"""The one exception that users are meant to read."""

import difflib
from collections.abc import Iterable

import numpy as np


class PflError(ValueError):
    """Something the caller can mend. The message says what was expected, what came and what to do."""


def nearest(word: str, known: Iterable[str]) -> str:
    """`, did you mean 'x'?` for the known word closest to `word`, or the empty string.

    >>> nearest("keybord", ["keyboard", "wearable"])
    ", did you mean 'keyboard'?"
    """
    found = difflib.get_close_matches(word, list(known), n=1)
    return f", did you mean {found[0]!r}?" if found else ""


def whole(name: str, value: object, least: int = 1) -> int:
    """`value` as an int. Raises PflError unless it is a whole number of at least `least` that an int32 holds."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise PflError(f"{name}: expected a whole number of at least {least}, got {value!r}")
    if value >= 2**31:
        raise PflError(f"{name}: expected a whole number below 2**31, got {value!r}")
    return int(value)


def at_least(name: str, value: float, least: float) -> None:
    """Raises PflError unless `value` is a number of at least `least`."""
    if not value >= least:
        raise PflError(f"{name}: expected a number of at least {least}, got {value}")


def between(name: str, value: float, least: float, most: float) -> None:
    """Raises PflError unless `value` is a number from `least` to `most`."""
    if not least <= value <= most:
        raise PflError(f"{name}: expected a number from {least} to {most}, got {value}")
