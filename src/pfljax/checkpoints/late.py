"""Parts of a failed save that end when nobody waits for them any more."""

import sys
from collections.abc import Callable
from typing import Any


def leave_unsaid() -> None:
    """Keeps the rest of a failed save from being printed as a traceback, as long as the process lives.

    When one array cannot be written, orbax raises and closes the event loop that waits for the others. They end a
    little later, perhaps after all else, and tensorstore, which finds the loop closed, hands that to Python as an
    error that nobody can catch (`sys.unraisablehook`).
    """
    if not isinstance(sys.unraisablehook, _Unless):
        sys.unraisablehook = _Unless(sys.unraisablehook)


class _Unless:
    """An unraisablehook: another one, unless it is such a rest."""

    def __init__(self, shown: Callable[[Any], object]):
        self._shown = shown

    def __call__(self, raised: Any, /) -> None:
        # Python itself names the object in which it could not raise; tensorstore names none.
        what = (raised.exc_type, str(raised.exc_value), raised.object)
        if what != (RuntimeError, "Event loop is closed", None):
            self._shown(raised)
