"""What `import pfljax` does not do: start JAX, change its settings, load what only some need."""

import json
import os
import subprocess
import sys
from importlib.resources import files

import pytest

import pfljax

SCRIPT = """
import json, os, sys
import jax
from jax._src import xla_bridge
import numpy as np

settings = lambda: {name: repr(holder.value) for name, holder in jax.config._value_holders.items()}
before, environment, state = settings(), dict(os.environ), np.random.get_state()[1].tolist()
import pfljax
facts = {
    "settings": len(before),
    "changed": [name for name, value in settings().items() if before[name] != value],
    "environment": dict(os.environ) == environment,
    "numpy": np.random.get_state()[1].tolist() == state,
    "started": xla_bridge.backends_are_initialized(),
    "modules": sorted(sys.modules),
}
people = pfljax.data.Population.from_clients(
    {name: {"x": np.ones((5, 3), np.float32), "y": np.arange(5) % 2} for name in "ab"},
    about=pfljax.data.About(num_classes=2),
)
letters = pfljax.data.Population.from_clients(
    {name: {"x": np.ones((5, 3), np.uint8), "y": np.arange(5, dtype=np.uint8)} for name in "ab"},
    about=pfljax.data.About(num_classes=5),
)
pfljax.algorithms.fedavg(pfljax.models.mlp(people))
pfljax.models.char_lm(letters)
facts["started_by_models"] = xla_bridge.backends_are_initialized()
pfljax.use_cores(3)
facts["devices"] = len(jax.devices())
facts["started_by_devices"] = xla_bridge.backends_are_initialized()
print(json.dumps(facts))
"""


@pytest.fixture(scope="module")
def facts() -> dict:
    """What a new process found before and after the import."""
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"} | {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_import_starts_no_backend_and_changes_no_setting(facts):
    assert facts["settings"] > 50
    assert facts["changed"] == []
    assert facts["environment"]
    assert facts["numpy"]
    assert not facts["started"]
    assert facts["started_by_devices"]  # a control


@pytest.mark.parametrize("name", ["matplotlib", "tyro", "tensorflow", "torch", "tensorflow_datasets"])
def test_import_loads_only_what_it_needs(facts, name):
    assert name not in facts["modules"]
    assert "pfljax.engine.loop" in facts["modules"]


def test_building_models_computes_nothing(facts):
    """Otherwise the number of devices could no longer be chosen."""
    assert not facts["started_by_models"]
    assert facts["devices"] == 3


def test_everything_public_is_there():
    assert all(hasattr(pfljax, name) for name in pfljax.__all__)
    assert pfljax.__all__ == sorted(pfljax.__all__)


def test_types_ship():
    assert files("pfljax").joinpath("py.typed").is_file()
