"""Ctrl-C and SIGTERM are requests where a run can be saved; what stops at once cannot get lost."""

import contextlib
import signal
import threading

import pytest

from pfljax.run.interrupts import interrupts


def test_before_anything_can_be_saved_ctrl_c_stops_at_once():
    with pytest.raises(KeyboardInterrupt), interrupts():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_swallowed_interrupt_is_raised_again():
    before = signal.getsignal(signal.SIGINT)
    with interrupts() as stop:
        stop.check()
        with contextlib.suppress(KeyboardInterrupt):  # as compiled code does with what its callbacks raise
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            stop.check()
    assert signal.getsignal(signal.SIGINT) is before


def test_the_first_ctrl_c_is_a_request_and_the_second_is_not(capfd):
    with interrupts() as stop:
        stop.can_save()
        assert not stop.asked()
        signal.raise_signal(signal.SIGINT)
        stop.check()
        assert stop.asked()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            stop.check()
    assert capfd.readouterr().err == "\npfljax: stopping after this block; Ctrl-C again stops at once\n"


def test_sigterm_is_a_request_however_often():
    with interrupts() as stop:
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        stop.can_save()
        for _ in range(3):
            signal.raise_signal(signal.SIGTERM)
        stop.check()
        assert stop.asked()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_others_handlers_and_other_threads_are_left_alone():
    mine = lambda number, frame: None
    before = signal.signal(signal.SIGINT, mine)
    try:
        with interrupts() as stop:
            stop.can_save()
            assert signal.getsignal(signal.SIGINT) is mine
            signal.raise_signal(signal.SIGINT)
            stop.check()
            assert not stop.asked()
    finally:
        signal.signal(signal.SIGINT, before)
    entered = []

    def inside():
        with interrupts() as stop:
            stop.can_save()
            entered.append((signal.getsignal(signal.SIGINT), stop.asked()))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert entered == [(before, False)]
