"""Displays: plain lines hold no control codes and are few; the live one draws."""

import io

import numpy as np
from rich.console import Console

from pfljax.evaluate import Curve
from pfljax.run import progress
from pfljax.run.job import Evaluated, Started, Trained


def trained(num: int) -> Trained:
    records = tuple({"loss": 2.5, "clients_per_second": 1234.5} for _ in range(num))
    return Trained("warmup", records, "width 1: as asked")


EVENTS = [
    Started("warmup", 40),
    *[trained(1) for _ in range(40)],
    Started("evaluation", 1),
    Evaluated(Curve("local_only", (0,), {}, {"accuracy": "higher"})),
]


def shown(is_terminal: bool) -> str:
    text = io.StringIO()
    with progress.display(Console(file=text, force_terminal=is_terminal, width=120)) as display:
        for event in EVENTS:
            display.show(event)
    return text.getvalue()


def test_plain_has_no_control_codes():
    text = shown(is_terminal=False)
    assert text.isascii()
    assert not set(text) & {"\x1b", "\r"}
    assert text.splitlines() == [
        "width 1: as asked",
        "FedAvg, warm start: 40/40  loss 2.500  1,234 clients/s",
        "evaluation: 1/1  local_only",
    ]


def test_plain_shows_a_line_each_tenth_if_rounds_are_slow(monkeypatch):
    clock = iter(np.arange(0.0, 10_000.0, 10.0))
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(clock))
    assert len(shown(is_terminal=False).splitlines()) == 12


def test_live_shows_phase_rounds_and_loss():
    text = shown(is_terminal=True)
    for part in ("width 1: as asked", "FedAvg, warm start", "40/40", "loss 2.500", "1,234 clients/s", " s ", "\x1b["):
        assert part in text
