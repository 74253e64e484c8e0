"""The checks of an accelerator: what counts as the same, what becomes of failures, and that all of it runs on a CPU."""

import json
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import Mesh

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from accelerator import checks, times
from accelerator.report import Machine, Row, guarded

import pfljax as pfl
from pfljax.engine.devices import AXIS

START, THERE = {"w": np.zeros(3, np.float32)}, {"w": np.ones(3, np.float32)}


def machine() -> Machine:
    one = lambda device: Mesh(np.asarray([device]), (AXIS,))
    return Machine(one(jax.devices()[0]), one(jax.devices()[-1]), is_tiny=True)


def command():
    """benchmarks/accelerator.py, which has the name of its parts' package."""

    spec = spec_from_file_location("accelerator_command", Path(checks.__file__).parents[1] / "accelerator.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_other_bits_break_a_promise_but_not_an_equality_to_rounding():
    near = {"w": np.nextafter(THERE["w"], np.float32(2))}
    assert checks.bits("x", START, THERE, {"w": THERE["w"].copy()}) == Row("x", "the same bits", True, {"off": 0.0})
    promised = checks.bits("x", START, THERE, near)
    assert (promised.is_good, promised.found) == (False, "other bits: 1.2e-07 of the way")
    assert checks.bits("x", START, THERE, near, is_promised=False).is_good
    assert not checks.bits("x", START, THERE, {"w": 1.01 * THERE["w"]}, is_promised=False).is_good


def test_counters_do_not_lengthen_the_way():
    count = lambda numbers, round: numbers | {"round": np.int32(round)}
    other = count({"w": np.float32(1.01) * THERE["w"]}, 1000)
    assert checks.apart(count(START, 0), count(THERE, 1000), other) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize(
    "other", [{"w": -THERE["w"]}, {"w": np.ones(3)}, {"v": THERE["w"]}, {"w": np.full(3, np.nan)}, {"w": np.ones(4)}]
)
def test_signs_dtypes_names_and_shapes_are_bits(other):
    assert not checks.same_bits(THERE, other)
    assert not checks.bits("x", START, THERE, other).is_good


def test_a_zero_of_the_other_sign_is_another():
    assert not checks.same_bits(START, {"w": -START["w"]})


def test_a_failure_is_a_row_and_the_rest_goes_on():
    def broken(machine):
        yield Row("first", "fine", True)
        raise ValueError("out of luck")

    def whole(machine):
        yield Row("second", "fine", True)

    rows = list(guarded({"broken": broken, "whole": whole}, machine(), seconds=60))
    assert [(name, row.what, row.is_good) for name, row in rows] == [
        ("broken", "first", True),
        ("broken", "all that follows", False),
        ("whole", "second", True),
    ]
    assert rows[1][1].found == "failed: ValueError: out of luck"
    assert 'raise ValueError("out of luck")' in rows[1][1].facts["traceback"]


def test_what_is_left_out_is_said():
    done = []

    def long(machine):
        done.append("first")
        yield Row("first", "fine", True)
        done.append("second")
        yield Row("second", "fine", True)

    rows = list(guarded({"long": long, "other": long}, machine(), seconds=0))
    assert [row.found for _, row in rows] == ["left out: 0 s are over"] * 2
    times = iter([0.0, 0.5, 2.0, 2.0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("accelerator.report.time.perf_counter", lambda: next(times))
        rows = list(guarded({"long": long, "other": long}, machine(), seconds=1))
    assert [row.what for _, row in rows] == ["first", "the rest", "all of it"]
    assert done == ["first"]


def test_a_method_that_breaks_is_one_row(monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(checks, "trained", broken)
    monkeypatch.setattr(checks, "beginning", lambda *_: START)
    names = [(row.what, row.is_good) for row in checks.methods(machine(), ("fedavg", "ditto"))]
    assert names == [("fedavg", False), ("ditto", False)]


def test_a_method_that_does_not_suit_the_model_is_refused_not_failed():
    (row,) = checks.methods(machine(), ("fedbn",))
    assert (row.what, row.is_good) == ("fedbn", None)
    assert row.found.startswith("refused: pattern '*norm*'")


def test_widths_grow_by_four_up_to_the_cohort():
    assert times.widths(512) == [1, 4, 16, 64, 256, 512]
    assert times.widths(1) == [1]


def test_every_method_is_checked_once():
    sections = command().SECTIONS
    names = [name for section in ("methods", "others") for name in sections[section].keywords["names"]]
    assert sorted(names) == sorted(pfl.algorithms.__all__)


@pytest.mark.slow
def test_checks_and_times_run_on_a_cpu(tmp_path, capsys):
    file = tmp_path / "found.json"
    sections = ["bits", "cohorts", "lr"]
    assert command().main(["--tiny", "--sections", *sections, "--seconds", "900", "--out", str(file)]) == 0
    rows = json.loads(file.read_text())["rows"]
    assert {row["section"] for row in rows} == set(sections)
    assert [row["is_good"] for row in rows if row["section"] == "bits"] == [True] * 10
    assert all(row["facts"]["clients_per_second"] > 0 for row in rows if row["section"] != "bits")
    assert capsys.readouterr().out.endswith("10 checks passed, 0 failed\n")
