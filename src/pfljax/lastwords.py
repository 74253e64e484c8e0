"""What a process can still do while it is being ended."""

import ctypes
import dis
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn

INTERRUPTED = 130  # exit code after Ctrl-C


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


def note_exits() -> Callable[[], tuple[BaseException | None, int]]:
    """What a function of `atexit` may ask: with which exception and which exit code Python ends; (None, 0) if well.

    Python keeps an exception that it has printed, but says nothing of an exit. So `sys.exit` is replaced by one that
    does the same and remembers; a bare `raise SystemExit(1)` goes unnoticed.
    """
    usual: Callable[..., NoReturn] = sys.exit
    last: list[SystemExit] = []

    def noted(status: Any = None, /) -> NoReturn:
        try:
            usual(status)
        except SystemExit as stop:
            if threading.current_thread() is threading.main_thread():
                last[:] = [stop]
            raise

    def ended_by() -> tuple[BaseException | None, int]:
        printed = getattr(sys, "last_value", None)
        if printed is not None:
            return printed, INTERRUPTED if isinstance(printed, KeyboardInterrupt) else 1
        for stop in last:
            if _is_uncaught(stop):
                return stop, stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        return None, 0

    sys.exit = noted
    return ended_by


def _is_uncaught(error: BaseException) -> bool:
    """Whether an exception has ended every frame that it came to."""
    frame = error.__traceback__ and error.__traceback__.tb_frame
    while frame is not None:
        if dis.opname[frame.f_code.co_code[frame.f_lasti]].startswith("RETURN"):
            return False
        frame = frame.f_back
    return True
