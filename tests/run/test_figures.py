"""Figures are real pictures, for every shape of run."""

import struct
import subprocess
import sys

import numpy as np
import pytest

from pfljax.evaluate import Curve, Entry, Evaluation
from pfljax.run import figures


def size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", png[16:24])


def evaluation(num_clients: int, num_seen: int) -> Evaluation:
    generator = np.random.default_rng(0)

    def entry(name, shift):
        values = {split: {"accuracy": generator.random((1, num_clients)) / 2 + shift} for split in ("test",)}
        return Entry(name, Curve(name, (0,), values, {"accuracy": "higher"}), np.zeros(num_clients, int))

    entries = (entry("FedAvg shared", 0.0), entry("mine", 0.2))
    ids = tuple(map(str, range(num_clients)))
    return Evaluation(entries, "FedAvg shared", ids, np.arange(num_clients) < num_seen, np.ones(num_clients))


def test_finished_run(finished):
    for name in ("gain", "learning_curve"):
        png = (finished / "figures" / f"{name}.png").read_bytes()
        assert min(size(png)) > 400
        assert len(png) > 10_000


@pytest.mark.parametrize("phases", [{"warmup": 1}, {"warmup": 40, "fedavg": 30}, {"fedavg": 3, "ditto": 2}])
def test_learning_curve_of_part_of_a_run(phases):
    records = [{"phase": name, "loss": 1 / (1 + index)} for name, num in phases.items() for index in range(num)]
    assert size(figures.learning_curve(records))[0] > 500


def test_learning_curve_without_some_losses():
    figures.learning_curve([{"phase": "warmup", "loss": 1.0}, {"phase": "warmup"}])


@pytest.mark.parametrize(("num_clients", "num_seen"), [(3, 2), (200, 150), (5, 5)])
def test_gain_panels(num_clients, num_seen):
    width, _ = size(figures.gain(evaluation(num_clients, num_seen), "mine"))
    assert width == (840 if num_seen == num_clients else 1560)


def test_running_mean_keeps_the_ends():
    smooth = figures._smooth([1.0, 2, 3, 4, 5, 6, 7, 8, 9, 20])
    assert (smooth[0], smooth[1], smooth[4], smooth[-1]) == (1.0, 2.0, 5.0, 20.0)


def test_pyplot_is_never_imported():
    """It would keep every figure, and ask for a display. In a process of its own: other tests may import it."""
    draw = "from pfljax.run import figures; figures.learning_curve([{'phase': 'fedavg', 'loss': 1.0}])"
    look = f"import sys; {draw}; print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", look], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("phases", [("warmup", "fedavg", "ditto"), ("fedavg",)])
def test_validation_figures_stand_below(phases):
    """Also where the run ended before the first look, and where a figure is not finite."""
    records = [{"phase": name, "round": index, "loss": 1.0} for name in phases for index in range(4)]
    width, height = size(figures.learning_curve(records))
    records[1]["validation_loss"], records[3]["validation_loss"] = 0.5, float("inf")
    assert size(figures.learning_curve(records, "loss")) == (width, 2 * height)
    assert size(figures.learning_curve(records, "accuracy")) == (width, 2 * height)
