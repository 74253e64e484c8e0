"""Checks of configuration values; messages name the field as the command line does."""

import math
from typing import Any

from pfljax.errors import PflError


def flag(section: str, name: str) -> str:
    """The option of a field: flag("warmup", "most_steps") is `--warmup.most-steps`.

    >>> flag("", "warmup_rounds")
    '--warmup-rounds'
    """
    return "--" + f"{section}.{name}".lstrip(".").replace("_", "-")


def whole(config: Any, section: str, least: int, *names: str) -> None:
    """Those fields must be whole numbers of at least `least`."""
    for name in names:
        value = getattr(config, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise PflError(
                f"{flag(section, name)}: expected a whole number of at least {least}, got {value!r}; "
                f"{'raise' if isinstance(value, int) else 'round'} it"
            )


def rate(config: Any, section: str, *names: str) -> None:
    """Those fields must be finite numbers above 0."""
    for name in names:
        value = getattr(config, name)
        if not (math.isfinite(value) and value > 0):
            raise PflError(f"{flag(section, name)}: expected a finite number above 0, got {value!r}; try 0.1")


def strength(config: Any, section: str, *names: str) -> None:
    """Those fields must be finite numbers of at least 0."""
    for name in names:
        value = getattr(config, name)
        if not (math.isfinite(value) and value >= 0):
            raise PflError(f"{flag(section, name)}: expected a finite number of at least 0, got {value!r}; 0 is none")
