"""Real rounds compiled for GPUs that are not here.

Needs JAX's CUDA plugin (the extra gpu-aot). With it installed, start pytest with JAX_PLATFORMS=cpu.
"""

import importlib.util

import pytest

from pfljax.cli import main
from pfljax.run.targets import mesh, target

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not any(map(importlib.util.find_spec, ("jax_cuda13_plugin", "jax_cuda12_plugin"))),
        reason="NOTHING WAS COMPILED FOR GPUS: JAX's CUDA plugin is not installed; pip install 'pfljax[gpu-aot]'",
    ),
]


@pytest.mark.parametrize(("name", "num"), [("a100:1", 1), ("h100:8", 8), ("h200:16", 16)])
def test_devices_are_described(name, num):
    devices = mesh(target(name)).devices.flat
    assert len(devices) == num
    assert name[:4].upper() in devices[0].device_kind


@pytest.mark.parametrize("machine", ["h100:8", "a100:8"])
def test_a_round_is_one_all_reduce(machine, capsys):
    assert main(["compile", "wearable", "--target", machine]) == 0
    out = capsys.readouterr().out
    assert out.count("between them 1 all-reduce of 4.8 KiB a round; none inside the client loops") == 2
    assert f"16 clients a round on {machine} (8 chips), width 2" in out
