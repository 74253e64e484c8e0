"""Ctrl-C is met at the next check, also where the exception was swallowed on its way."""

import contextlib
import signal
import threading

import pytest

from pfljax.run.interrupts import interrupts


def test_a_swallowed_interrupt_is_raised_again():
    before = signal.getsignal(signal.SIGINT)
    with interrupts() as check:
        check()
        with contextlib.suppress(KeyboardInterrupt):  # as compiled code does with what its callbacks raise
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            check()
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_is_raised_where_it_happens():
    with pytest.raises(KeyboardInterrupt), interrupts():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_others_handlers_and_other_threads_are_left_alone(monkeypatch):
    mine = lambda number, frame: None
    before = signal.signal(signal.SIGINT, mine)
    try:
        with interrupts() as check:
            assert signal.getsignal(signal.SIGINT) is mine
            signal.raise_signal(signal.SIGINT)
            check()
    finally:
        signal.signal(signal.SIGINT, before)
    entered = []

    def inside():
        with interrupts() as check:
            check()
            entered.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert entered == [before]
