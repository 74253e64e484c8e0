"""`pfljax compile`: its words, its figures (of CPU devices that stand for the described ones), its predictions."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from pfljax.cli import main
from pfljax.engine import prepare, width
from pfljax.engine.devices import make_mesh
from pfljax.errors import PflError
from pfljax.run import ahead
from pfljax.run import largest as largest_cohort
from pfljax.run.ahead import busiest, look, wanted
from pfljax.run.config import EngineConfig
from pfljax.run.hlo import Collective, Round
from pfljax.run.largest import largest
from pfljax.run.methods import FinetuneConfig
from pfljax.run.populations import WearableConfig
from pfljax.run.predict import HOP, collective_seconds, predict
from pfljax.run.presets import PRESETS
from pfljax.run.targets import target
from tests.support.refusal import refusal
from tests.support.zoo import ALGORITHMS, people, tiny_model

GB, TERA = 1e9, 1e12
MIB = 2**20


@pytest.fixture(scope="module")
def program():
    """13 clients on 8 devices in chunks of 2: 7 chunks, one lane and one device stay empty."""
    population = people(20)
    return prepare(ALGORITHMS["fedavg"](tiny_model(population)), population, cohort=13, width=2, devices=8)


@pytest.fixture(scope="module")
def made(program):
    return look(program, "people, fedavg", target("h100:8"))


def test_operations_are_those_of_one_device(made, program):
    assert made.operations == made.estimate.operations / 8
    # Lane-steps cost alike, so the busiest device has its share of them.
    assert made.operations <= made.most_operations <= made.estimate.operations
    _, longest = busiest(program.plan(0, 10))
    assert made.most_operations == pytest.approx(made.estimate.operations * 2 * longest / made.estimate.lane_steps)


def test_what_is_padded_is_said(made):
    assert (made.empty, made.idle) == (1, 1)
    assert "padded       1 of 14 lanes stay empty in a round; 1 of 8 devices have no client" in str(made)


def test_the_words_of_a_report(made):
    text = str(made)
    for part in (
        "people, fedavg: 13 clients a round on h100:8 (8 chips), width 2 (as asked)",
        "between them 1 all-reduce of ",
        "none inside the client loops",
        "not measured",
        "at 494 TFLOP/s",
        "at 3,350 GB/s",
    ):
        assert part in text


def test_busiest_counts_the_device_that_waits_for_nobody(program):
    plan = program.plan(0, 10)
    turns, longest = busiest(plan)
    by_hand = []
    for one in range(10):
        loads = [sum(plan.steps[one, d, c].max() for c in range(plan.num_chunks[one, d])) for d in range(8)]
        by_hand.append(max(loads))
    assert longest == np.mean(by_hand)
    assert turns.groups == 1


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("v5e:1x1", 0),
        # Both ends of both axes: four links of 50 GB/s; 8 hops to the far side of each ring, there and back.
        ("v5e:16x16", 2 * (MIB * 255 / 256 / (4 * 50 * GB) + 16 * HOP)),
        # Open chains: one link an axis, and all the way along it.
        ("v5e:2x4", 2 * (MIB * 7 / 8 / (2 * 50 * GB) + 4 * HOP)),
        ("v5e:2x4:2", 2 * (MIB * 7 / 8 / (2 * 50 * GB) + 4 * HOP + MIB / 8 / 2 / (3.125 * GB) + HOP)),
        ("h100:8", 2 * (MIB * 7 / 8 / (450 * GB) + 7 * HOP)),
    ],
)
def test_an_all_reduce_takes_what_its_links_allow(name, seconds):
    assert collective_seconds(target(name), Collective("all-reduce", 1, MIB, 0)) == pytest.approx(seconds)
    gathered = collective_seconds(target(name), Collective("all-gather", 1, MIB, 0))
    assert gathered == pytest.approx(seconds / 2)


def test_a_prediction_is_the_slower_of_two_and_the_collectives():
    on = target("v5e:2x4")
    nothing = predict(on, 197 * TERA, False, Round((), 10, 819 * GB / 4))
    assert (nothing.arithmetic, nothing.traffic, nothing.collectives) == pytest.approx((1, 0.25, 0))
    assert nothing.seconds == 1
    found = predict(on, 0, True, Round((Collective("all-reduce", 2, MIB, 0),), 10, 819 * GB))
    assert found.seconds == pytest.approx(1 + 2 * (MIB * 7 / 8 / (100 * GB) + 2 * 4 * HOP))
    assert predict(target("h100:1"), 989 * TERA, True, Round((), 0, 0)).seconds == 1
    assert predict(target("h100:1"), 989 * TERA, False, Round((), 0, 0)).seconds == pytest.approx(989 / 494)


def test_words():
    config, on, is_largest = wanted(["wearable", "--target", "v5e:2x4", "algorithm:ditto", "--cohort", "7"])
    assert (config.population.name, config.algorithm.name, config.cohort) == ("wearable", "ditto", 7)
    assert (on.name, is_largest) == ("v5e:2x4", False)
    _, on, is_largest = wanted(["--largest", "--target=h100:8"])
    assert (on.name, is_largest) == ("h100:8", True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--target: expected one of v4, v5e"),
        (["wearable", "--target"], "--target: expected a machine behind it"),
        (["--target", "v5e:2x5"], "expected a topology that v5e has"),
        (["wearabel", "--target", "v5e:2x4"], "did you mean 'wearable'?"),
        (["wearable", "--targets", "v5e:2x4"], "'--targets'"),
    ],
)
def test_words_that_are_refused(words, said):
    assert said in refusal(wanted, words)


def test_the_command_names_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["compile", "wearable", "--target", "v5e:2x4"]) == 2
    assert "pip install 'pfljax[tpu-aot]'" in capsys.readouterr().err


SMALL = replace(
    PRESETS["wearable"].run,
    population=WearableConfig(hidden=4),
    cohort=2,
    engine=EngineConfig(width=1, examples="streamed"),
)


@pytest.fixture
def box(monkeypatch):
    """Two CPU devices stand for two GPUs, with as much memory as a test wants them to have."""
    monkeypatch.setattr(largest_cohort, "mesh", lambda of: make_mesh(2))
    on = target("h100:2")
    return lambda memory: replace(on, chip=replace(on.chip, memory=memory))


@pytest.mark.slow
def test_the_largest_cohort_fits_and_a_larger_one_does_not(box):
    everybody = next(largest(SMALL, box(2**40)))
    assert everybody.cohort == everybody.clients == 16
    assert everybody.num_compiles == 2  # its own cohort, and everybody
    assert "at most 16 clients a round" in str(everybody)
    assert ", all that may be drawn" in str(everybody)

    population = SMALL.population.load()
    algorithm = FinetuneConfig().build(SMALL.population.model(population), SMALL)
    arguments = {"width": 1, "devices": 2, "unseen": SMALL.unseen, "examples": "streamed"}
    eight, nine = (prepare(algorithm, population, cohort=num, **arguments).device_bytes for num in (8, 9))
    assert eight < nine < everybody.num_bytes
    small = next(largest(SMALL, box(nine - 1)))
    assert (small.cohort, small.num_bytes) == (8, eight)
    assert small.num_compiles == 7  # 2, 16, 4, 8, 12, 10, 9
    assert "at most 8 clients a round on h100:2 (2 chips), width 1 of 16 that may be drawn" in str(small)


@pytest.mark.slow
def test_where_not_even_one_client_fits(box):
    with pytest.raises(PflError, match=r"needed on each device, 1.0 KiB free"):
        next(largest(SMALL, box(1024)))


def test_a_width_that_does_not_fit_is_said_in_a_plain_line(monkeypatch, capsys):
    """Not as a warning with a place in the code."""
    population = people(20)
    algorithm = ALGORITHMS["fedavg"](tiny_model(population))
    monkeypatch.setattr(ahead, "mesh", lambda of: make_mesh(1))
    monkeypatch.setattr(ahead, "algorithms", lambda config, population: (algorithm, None))
    monkeypatch.setattr(WearableConfig, "load", lambda self: population)
    monkeypatch.setattr(width, "refusal", lambda program: "more than there is" if program.width > 2 else None)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main(["compile", "wearable", "--target", "h100:1", "--cohort", "4", "--engine.width", "4"]) == 0
    out, err = capsys.readouterr()
    assert err == "pfljax: width: 4 does not fit (more than there is); using 2\n"
    assert "width 2 (4 does not fit into memory)" in out
