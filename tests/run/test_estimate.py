"""`pfljax plan`: figures that add up, compiled but not run, refused with the number when they do not fit."""

import math
import re
from dataclasses import replace

import pytest

from pfljax import data
from pfljax.cli import main
from pfljax.engine import width
from pfljax.errors import PflError
from pfljax.run.config import EngineConfig, RunConfig
from pfljax.run.estimate import estimates
from pfljax.run.populations import WearableConfig
from pfljax.run.presets import PRESETS

SMALL = replace(
    PRESETS["wearable"].run, population=WearableConfig(hidden=4), cohort=5, engine=EngineConfig(width=2, devices=2)
)


@pytest.fixture(scope="module")
def made():
    return estimates(SMALL)


def test_both_methods_of_a_run_are_there(made):
    assert [each.name for each in made] == ["wearable, fedavg_finetune", "wearable, per_fedavg"]
    assert [(each.cohort, each.width, each.num_devices, each.why) for each in made] == [(5, 2, 2, "as asked")] * 2


def test_steps_and_operations(made):
    """20 steps of FedAvg a client; chunks of 2, 2 and 1 leave a lane empty, so 6 lanes are paid for 5 clients."""
    fedavg = made[0]
    assert fedavg.steps == 5 * SMALL.warmup.steps
    assert fedavg.lane_steps == 6 * SMALL.warmup.steps
    features = math.prod(data.load("wearable").arrays["x"].shape[1:])
    # Forward, and backward for weights of both layers and inputs of the second, each 2 operations a multiply-add.
    products = 2 * SMALL.warmup.batch * (2 * features * 4 + 3 * 4 * 7)
    assert products < fedavg.operations / fedavg.lane_steps < 1.5 * products


def test_bytes_add_up(made):
    for each in made:
        assert each.total == each.server + each.clients + each.plan + each.temporaries
        assert each.is_shared
        assert not each.is_streamed
        assert each.examples <= each.host_examples
        num_params = (math.prod(data.load("wearable").arrays["x"].shape[1:]) + 1) * 4 + 5 * 7
        assert 4 * num_params <= each.server < 4 * num_params + 100


@pytest.mark.slow
def test_kept_state_is_counted_by_device():
    ditto = replace(SMALL, algorithm=PRESETS["wearable"].algorithms[1])
    _, found = estimates(ditto)
    model_bytes = found.server // 4 * 4
    # 20 clients on two devices, a model each, and as many free rows as three chunks of two have clients.
    assert found.clients == pytest.approx(16 * model_bytes, rel=0.05)


@pytest.mark.slow
def test_streamed_examples_are_counted_twice():
    _, found = estimates(replace(SMALL, engine=EngineConfig(width=2, devices=2, examples="streamed")))
    assert found.is_streamed
    assert found.total == pytest.approx(found.server + 2 * found.examples + found.plan + found.temporaries, rel=0.05)


def test_the_command_prints_it(capsys):
    engine = ("--engine.width", "2", "--engine.devices", "2")
    assert main(("plan", "wearable", "--cohort", "5", "--population.hidden", "4", *engine)) == 0
    out = capsys.readouterr().out
    assert "wearable, per_fedavg: 5 clients a round on 2 cpu devices, width 2 (as asked)" in out
    assert re.search(r"each device  [\d.]+ KiB of [\d.]+ GiB free: .* of parameters and server state", out)
    assert re.search(r"a round +100 steps, 16.7% of lane-steps waiting, [\d.]+ GFLOP", out)
    assert re.search(r"compiling +[\d.]+ s", out)


def test_what_does_not_fit_is_refused_with_the_number(monkeypatch, capsys):
    monkeypatch.setattr(width, "free_bytes", lambda mesh, memory: 1024)
    with pytest.raises(PflError, match=r"one client at a time to fit, got .* needed on each device, 1.0 KiB free"):
        estimates(replace(SMALL, engine=EngineConfig(width=1, devices=2)))
    assert main(("plan", "wearable", "--engine.width", "1")) == 2
    assert "needed on each device, 1.0 KiB free" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": 0}, "--engine.width: expected a whole number of at least 1"),
        ({"devices": 0}, "--engine.devices: expected a whole number of at least 1"),
    ],
)
def test_bad_engine_options(change, words):
    with pytest.raises(PflError, match=words):
        RunConfig(engine=EngineConfig(**change))
