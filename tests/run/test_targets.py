"""Names of machines: what they mean, what is refused and how, and which compiler is asked for."""

import importlib.util
import math

import pytest

from pfljax.run.targets import CHIPS, GPUS_A_HOST, NAMES, mesh, target
from tests.support.refusal import refusal


@pytest.mark.parametrize(
    ("name", "num_chips", "num_devices", "slices", "said"),
    [
        ("v5e:1x1", 1, 1, 1, "v5e:1x1 (1 chip)"),
        ("v5e:16x16", 256, 256, 1, "v5e:16x16 (256 chips)"),
        ("v5e:4x4:2", 32, 32, 2, "v5e:4x4:2 (32 chips in 2 slices)"),
        ("v4:4x4x4", 64, 64, 1, "v4:4x4x4 (64 chips)"),
        ("v5p:16x16x24", 6144, 6144, 1, "v5p:16x16x24 (6144 chips)"),
        ("tpu7x:2x2x1", 4, 8, 1, "tpu7x:2x2x1 (4 chips, 8 devices)"),
        ("h100:8", 8, 8, 1, "h100:8 (8 chips)"),
        ("h200:16", 16, 16, 2, "h200:16 (16 chips in 2 hosts)"),
        ("a100:3", 3, 3, 1, "a100:3 (3 chips)"),
    ],
)
def test_names(name, num_chips, num_devices, slices, said):
    found = target(name)
    assert (found.num_chips, found.num_devices, found.slices, str(found)) == (num_chips, num_devices, slices, said)


@pytest.mark.parametrize(
    ("name", "rings"),
    [
        ("v5e:1x1", ()),
        ("v5e:2x4", ((2, False), (4, False))),
        ("v5e:8x16", ((8, False), (16, True))),  # 16 chips are a whole side of the pod
        ("v5e:16x16", ((16, True), (16, True))),
        ("v4:2x2x1", ((2, False), (2, False))),
        ("v4:2x4x4", ((2, False), (4, False), (4, False))),  # only cubes of 4x4x4 are joined at their ends
        ("v4:4x4x8", ((4, True), (4, True), (8, True))),
        ("h100:16", ((8, False),)),
    ],
)
def test_rings(name, rings):
    assert target(name).rings == rings


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("v5:2x4", "expected one of v4, v5e, v5p, v6e, tpu7x, a100, h100, h200 and its size"),
        ("h10:8", "did you mean 'h100'?"),
        ("", "e.g. v5e:16x16 or h100:8, got ''"),
        ("v5e", "expected a topology that v5e has (1x1, 2x2, 2x4, 4x4, 4x8, 8x8, 8x16, 16x16)"),
        ("v5e:3x3", "got 'v5e:3x3'"),
        ("v5e:16x", "got 'v5e:16x', did you mean '16x16'?"),
        ("v5e:2x2x1", "a topology that v5e has"),
        ("v4:4x4", "2x4x4, 4x4x4"),
        ("v5e:4x4:", "a number of slices behind the topology, e.g. v5e:4x4:2"),
        ("v5e:4x4:0", "a number of slices"),
        ("v5e:4x4:two", "a number of slices"),
        ("v5e:4x4:2:2", "a number of slices"),
        ("h100", "1 to 8 GPUs or a multiple of 8"),
        ("h100:0", "1 to 8 GPUs"),
        ("h100:12", "got 'h100:12'"),
        ("h100:-8", "1 to 8 GPUs"),
        ("a100:8x2", "1 to 8 GPUs"),
    ],
)
def test_what_does_not_exist(name, words):
    message = refusal(target, name)
    assert message.startswith("--target: ")
    assert words in message


@pytest.mark.parametrize(("name", "extra"), [("v5e:2x4", "pfljax[tpu-aot]"), ("h100:8", "pfljax[gpu-aot]")])
def test_a_missing_compiler_is_named(name, extra, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert f"pip install '{extra}'" in refusal(mesh, target(name))


def test_the_table_is_in_order():
    """Every topology rises and is unique; devices share a chip evenly; halves are no slower than whole numbers."""
    assert len(set(NAMES)) == len(CHIPS)
    for chip in CHIPS:
        assert (chip.platform == "cuda") == (chip.shapes == ())
        assert len(set(chip.shapes)) == len(chip.shapes)
        assert list(map(math.prod, chip.shapes)) == sorted(map(math.prod, chip.shapes))
        assert chip.peak(is_half=True) >= chip.peak(is_half=False) > 1e14
        assert chip.link > chip.network > 1e9
        assert chip.bandwidth > chip.link
    assert GPUS_A_HOST == 8
