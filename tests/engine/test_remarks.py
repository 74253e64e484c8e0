"""What a run says before it begins: cores that will be idle, layers that will be slow."""

import warnings
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from flax import nnx

import pfljax as pfl
from pfljax.engine import remarks
from pfljax.models import layers, losses
from pfljax.types import Model


@pytest.mark.parametrize(
    ("cores", "devices", "processes", "asked", "is_idle"),
    [
        (8, 1, 1, -1, True),
        (1, 1, 1, -1, False),
        (8, 2, 1, -1, False),
        (8, 1, 4, -1, False),
        (8, 1, 1, 1, False),
    ],
)
def test_idle_cores(monkeypatch, cores, devices, processes, asked, is_idle):
    """Processes that share a machine leave none that one of them knows of; one device may have been asked for."""
    config = SimpleNamespace(values={"jax_num_cpu_devices": asked})
    counts = {"local_device_count": lambda: devices, "process_count": lambda: processes}
    monkeypatch.setattr(remarks, "jax", SimpleNamespace(config=config, **counts))
    assert remarks.has_idle(cores) == is_idle


def test_idle_cores_are_said(monkeypatch):
    monkeypatch.setattr(remarks, "has_idle", lambda cores: True)
    algorithm = pfl.algorithms.fedavg(model(layers.conv_general_dilated))
    with pytest.warns(UserWarning, match=r"1 CPU device on \d+ cores: call pfljax.use_cores\(\)"):
        pfl.rounds(algorithm, pictures(), cohort=1, rounds=1)


def pictures() -> pfl.data.Population:
    generator = np.random.default_rng(0)
    clients = {
        name: {"x": generator.normal(size=(6, 6, 6, 1)).astype(np.float32), "y": np.arange(6) % 2} for name in "abc"
    }
    return pfl.data.Population.from_clients(clients, about=pfl.data.About(num_classes=2))


def model(convolution) -> Model:
    class Net(nnx.Module):
        def __init__(self, rngs):
            self.body = nnx.Conv(1, 2, (3, 3), rngs=rngs, conv_general_dilated=convolution)
            self.head = nnx.Linear(72, 2, rngs=rngs)

        def __call__(self, x):
            return self.head(jax.nn.relu(self.body(x)).reshape(x.shape[0], -1))

    return pfl.models.from_nnx(lambda rngs: Net(rngs), losses.cross_entropy(), {"accuracy": losses.accuracy()})


def test_a_slow_convolution_is_named():
    algorithm = pfl.algorithms.fedavg(model(jax.lax.conv_general_dilated))
    with pytest.warns(UserWarning, match=r"body/kernel: lax.conv .* 30 to 50 times slower .*conv_general_dilated="):
        pfl.rounds(algorithm, pictures(), cohort=1, rounds=1)


def test_a_convolution_as_a_matmul_is_not():
    algorithm = pfl.algorithms.fedavg(model(layers.conv_general_dilated))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pfl.rounds(algorithm, pictures(), cohort=1, rounds=1)
