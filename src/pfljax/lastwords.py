"""What a process can still do while it is being ended."""

import ctypes
import os
import signal
from typing import Any


def on_abort(handler: Any) -> None:
    """Sets what is done when C++ code aborts: a ctypes function of one int, or None for what is usual.

    Python's own handlers run in the main thread, later: too late for that.
    """
    set_handler = ctypes.CDLL(None).signal
    set_handler.argtypes, set_handler.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
    set_handler(signal.SIGABRT, None if handler is None else ctypes.cast(handler, ctypes.c_void_p))


def say(text: str, hint: str) -> None:
    """A line of its own on stderr that cannot be held up by whoever else writes there."""
    then = f"go on with: {hint}" if hint else "start the processes again"
    os.write(2, f"\npfljax: {text}; {then}\n".encode())
