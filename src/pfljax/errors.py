"""The one exception that users are meant to read."""

import difflib
from collections.abc import Iterable


class PflError(ValueError):
    """Something the caller can mend. The message says what was expected, what came and what to do."""


def nearest(word: str, known: Iterable[str]) -> str:
    """`, did you mean 'x'?` for the known word closest to `word`, or the empty string.

    >>> nearest("keybord", ["keyboard", "wearable"])
    ", did you mean 'keyboard'?"
    """
    found = difflib.get_close_matches(word, list(known), n=1)
    return f", did you mean {found[0]!r}?" if found else ""
