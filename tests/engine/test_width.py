"""How many clients stand side by side: the rule, the measurement and its memory, what does not fit."""

import json
import warnings

import jax
import numpy as np
import pytest

import pfljax as pfl
from pfljax import cache
from pfljax.engine import ready, width
from pfljax.engine.program import Program
from tests.support.zoo import ALGORITHMS, people, tiny_model

ARGUMENTS = {"cohort": 6, "devices": 1}


@pytest.fixture(scope="module")
def population():
    return people()


@pytest.fixture(scope="module")
def algorithm(population):
    return ALGORITHMS["fedavg"](tiny_model(population))


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_the_rule_for_cpus(population, algorithm):
    small = pfl.engine.prepare(algorithm, population, **ARGUMENTS)
    assert small.width == 6  # eight, or everybody
    assert "44 parameters" in small.why
    large = pfl.algorithms.fedavg(pfl.models.mlp(population, (800,)))
    made = pfl.engine.prepare(large, population, **ARGUMENTS)
    assert made.width == 1
    assert "faster than several side by side" in made.why


def test_a_measured_width_is_the_fastest_and_remembered(population, algorithm, monkeypatch):
    milliseconds = {1: 4.0, 2: 3.0, 4: 1.0}
    asked = []

    def pretend(program: Program) -> float:
        asked.append(program.width)
        return milliseconds[program.width] / 1e3

    monkeypatch.setattr(width, "_seconds_a_client", pretend)
    made = pfl.engine.prepare(algorithm, population, width="measure", **ARGUMENTS)
    assert (made.width, asked) == (4, [1, 2, 4])
    assert made.why == "measured in ms a client, by width: 1: 4, 2: 3, 4: 1"
    again = pfl.engine.prepare(algorithm, population, width="measure", **ARGUMENTS)
    assert (again.width, again.why, asked) == (4, "measured here before", [1, 2, 4])
    other = ALGORITHMS["fedavg"](pfl.models.mlp(population, (7,)))
    pfl.engine.prepare(other, population, width="measure", **ARGUMENTS)
    assert asked == [1, 2, 4] * 2  # another model is another measurement
    assert len(json.loads((cache.folder() / "widths.json").read_text())) == 2


def test_the_search_ends_where_width_gains_nothing(population, algorithm, monkeypatch):
    asked = []
    monkeypatch.setattr(width, "_seconds_a_client", lambda program: asked.append(program.width) or 1.0)
    wide = pfl.engine.prepare(algorithm, people(20), cohort=16, devices=1, width="measure")
    assert (wide.width, asked) == (1, [1, 2, 4])


def test_measuring_for_real(population, algorithm):
    made = pfl.engine.prepare(algorithm, population, width="measure", **ARGUMENTS)
    assert made.width in (1, 2, 4)
    assert made.why.startswith("measured in ms a client, by width: 1: ")


def test_a_broken_memory_is_measured_anew(population, algorithm, monkeypatch):
    monkeypatch.setattr(width, "_seconds_a_client", lambda program: 1.0)
    file = cache.folder() / "widths.json"
    file.parent.mkdir(parents=True)
    file.write_text("[1, 2")
    with pytest.warns(UserWarning, match="expected measured widths"):
        pfl.engine.prepare(algorithm, population, width="measure", **ARGUMENTS)
    assert list(json.loads(file.read_text()).values()) == [1]


def limited(monkeypatch, lanes: int, per_lane: int = 1000):
    """Devices that have memory for so many lanes."""
    monkeypatch.setattr(Program, "device_bytes", property(lambda program: per_lane * program.width))
    monkeypatch.setattr(width, "free_bytes", lambda mesh, memory: per_lane * lanes)


def test_a_width_that_does_not_fit_is_halved(population, algorithm, monkeypatch):
    limited(monkeypatch, 2)
    with pytest.warns(UserWarning, match=r"width: 6 does not fit \(5.9 KiB needed .*, 2.0 KiB free\); using 1"):
        made = pfl.engine.prepare(algorithm, population, width=6, **ARGUMENTS)
    assert (made.width, made.why) == (1, "6 does not fit into memory")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pfl.engine.prepare(algorithm, population, width=2, **ARGUMENTS).width == 2


def test_measuring_stays_within_memory(population, algorithm, monkeypatch):
    limited(monkeypatch, 2)
    monkeypatch.setattr(width, "_seconds_a_client", lambda program: 1.0 / program.width)
    assert pfl.engine.prepare(algorithm, population, width="measure", **ARGUMENTS).width == 2


def test_a_model_too_large_is_refused_with_the_number(population, algorithm, monkeypatch):
    limited(monkeypatch, 0)
    with pytest.raises(pfl.PflError, match=r"expected one client at a time to fit, got 1000 B needed .* 0 B free"):
        next(pfl.rounds(algorithm, population, rounds=1, **ARGUMENTS))


def exhausted(limit: int):
    """Program.run of devices that run out of memory beyond `limit` lanes, when it is already running."""
    run = Program.run

    def broken(program, carry, placed, plan):
        if program.width > limit:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 12345 bytes")
        return run(program, carry, placed, plan)

    return broken


def test_a_device_that_runs_out_gets_half(population, algorithm, monkeypatch):
    expected = pfl.simulate(algorithm, population, rounds=2, width=1, **ARGUMENTS)
    monkeypatch.setattr(Program, "run", exhausted(3))
    with pytest.warns(UserWarning, match=r"width: 6 does not fit \(out of memory\); using 3"):
        block = next(pfl.rounds(algorithm, population, rounds=2, width=6, block=2, **ARGUMENTS))
    assert block.width == 3
    assert block.why == "6 ran out of memory"
    for a, b in zip(jax.tree.leaves(block.result().server), jax.tree.leaves(expected.server), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=2e-6)
    monkeypatch.setattr(Program, "run", exhausted(0))
    with pytest.raises(pfl.PflError, match="memory: expected one client at a time to fit, got RESOURCE_EXHAUSTED"):
        next(pfl.rounds(algorithm, population, rounds=2, width=1, **ARGUMENTS))


def test_other_errors_of_a_device_are_not_swallowed(population, algorithm, monkeypatch):
    def broken(*arguments):
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")

    monkeypatch.setattr(Program, "run", broken)
    with pytest.raises(jax.errors.JaxRuntimeError, match="something else"):
        next(pfl.rounds(algorithm, population, rounds=2, **ARGUMENTS))


@pytest.mark.parametrize(
    ("value", "words"), [(0, "at least 1"), ("wide", "'auto' or 'measure'"), (2.5, "whole number")]
)
def test_bad_widths(population, algorithm, value, words):
    with pytest.raises(pfl.PflError, match=words):
        ready.check_width(value)
    with pytest.raises(pfl.PflError, match=words):
        pfl.rounds(algorithm, population, rounds=1, width=value, **ARGUMENTS)
