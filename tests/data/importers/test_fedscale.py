"""`fedscale_devices`: what the file says, and nothing that it would like to run."""

import collections
import os
import pickle
import re
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfljax.data.importers import fedscale_devices
from tests.support.refusal import refusal

STEADY = settings(deadline=None, derandomize=True, max_examples=40)
GOOD = {1: {"computation": 12.5, "communication": 2000.0}, 2: {"computation": 100, "communication": 7.5}}


def saved(folder: Path, content: object, protocol: int = 4) -> Path:
    path = folder / "client_device_capacity"
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, protocol))
    return path


speed = st.floats(1e-3, 1e9) | st.integers(1, 10**6)
devices = st.fixed_dictionaries({"computation": speed, "communication": speed}, optional={"model": st.text()})


@STEADY
@given(st.dictionaries(st.integers(0, 10**9), devices, min_size=1), st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_the_file_is_read_device_by_device(tmp_path_factory, content, protocol):
    traces = fedscale_devices(saved(tmp_path_factory.mktemp("traces"), content, protocol))
    assert traces.ids == tuple(str(key) for key in content)
    for index, device in enumerate(content.values()):
        assert traces.computation[index] == np.float32(device["computation"])
        assert traces.communication[index] == np.float32(device["communication"])
    assert traces.computation.dtype == traces.communication.dtype == np.float32


class Runs:
    """Something that runs a command when it is unpickled."""

    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("place", ["whole", "device", "speed", "beside"])
def test_a_file_that_would_run_a_command_is_refused_and_runs_nothing(tmp_path, protocol, place):
    ran = tmp_path / "ran"
    evil = Runs(os.system, f"touch {ran}")
    content = {
        "whole": evil,
        "device": GOOD | {3: evil},
        "speed": GOOD | {3: {"computation": evil, "communication": 1.0}},
        "beside": GOOD | {3: {"computation": 1.0, "communication": 1.0, "model": evil}},
    }[place]
    path = saved(tmp_path, content, protocol)
    pickle.loads(path.read_bytes())
    assert ran.exists(), "the file is no attack"
    ran.unlink()
    message = refusal(fedscale_devices, path)
    assert re.search(r"client_device_capacity: expected dictionaries, .* got the name (posix|os|nt)\.system", message)
    assert not ran.exists()


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"cos\nsystem\n(S'touch ran'\ntR.", "os.system"),
        (b"(S'touch ran'\nios\nsystem\n.", "os.system"),
        (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.", "builtins.eval"),
        (b"\x80\x02cbuiltins\ngetattr\n.", "builtins.getattr"),
        (pickle.dumps(collections.OrderedDict(GOOD)), "collections.OrderedDict"),
        (pickle.dumps({1: {"computation": np.float64(1), "communication": 1.0}}), "numpy"),
        (pickle.dumps({1: Decimal(1)}), "decimal.Decimal"),
        (pickle.dumps({1: print}), "builtins.print"),
        (pickle.dumps({1: {1, 2}}, 2), "set"),
    ],
)
def test_every_name_is_refused(tmp_path, content, name):
    message = refusal(fedscale_devices, saved(tmp_path, content))
    assert "got the name " in message
    assert name in message
    assert "which was not loaded" in message


def test_extensions_and_persistent_ids_are_refused(tmp_path):
    assert "expected a whole pickle" in refusal(fedscale_devices, saved(tmp_path, b"\x80\x02\x82\x01."))
    assert "expected a whole pickle" in refusal(fedscale_devices, saved(tmp_path, b"Pdevice\n."))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2], ["expected a dictionary {client number: speeds}, got a list"]),
        ("text", ["got a str"]),
        ({}, ["got an empty one"]),
        ({1.5: GOOD[1]}, ["expected client numbers, got 1.5, a float"]),
        ({None: GOOD[1]}, ["expected client numbers, got None"]),
        ({True: GOOD[1]}, ["expected client numbers, got True, a bool"]),
        ({(1, 2): GOOD[1]}, ["expected client numbers, got (1, 2), a tuple"]),
        (GOOD | {"2": GOOD[2]}, ["expected every client once, got '2' as a number and as text"]),
        (GOOD | {3: [1.0, 2.0]}, ["client 3: expected {'computation': ..., 'communication': ...}, got a list"]),
        (GOOD | {3: {"compute": 1.0, "communication": 1.0}}, ["client 3: expected 'computation', got ['compute', "]),
        (GOOD | {3: {"comunication": 1.0, "computation": 1.0}}, ["did you mean 'comunication'?"]),
        (GOOD | {3: {"computation": "1.0", "communication": 1.0}}, ["client 3: expected a number as computation"]),
        (GOOD | {3: {"computation": True, "communication": 1.0}}, ["got True, a bool"]),
        (GOOD | {3: {"computation": 1.0, "communication": None}}, ["got None, a NoneType"]),
        (GOOD | {3: {"computation": 1.0, "communication": [1.0]}}, ["got [1.0], a list"]),
        (GOOD | {3: {"computation": 1.0, "communication": -1.0}}, ["positive, finite communication, got -1.0"]),
        (GOOD | {3: {"computation": 0, "communication": 1.0}}, ["positive, finite computation, got 0"]),
        (GOOD | {3: {"computation": float("nan"), "communication": 1.0}}, ["positive, finite computation, got nan"]),
        (
            GOOD | {3: {"computation": float("inf"), "communication": 1.0}},
            ["positive, finite computation, got inf"],
        ),
        (GOOD | {3: {"computation": 1e-50, "communication": 1.0}}, ["positive, finite computation, got 1e-50"]),
        (GOOD | {3: {"computation": -(10**5000), "communication": 1.0}}, ["computation, got one of more than 64 bits"]),
        ({-1: GOOD[1]}, ["expected client numbers from 0, got one below it"]),
        ({10**5000: GOOD[1]}, ["expected client numbers from 0, got one below it or above 2**63"]),
        (
            GOOD | {3: {"computation": 10**5000, "communication": 1.0}},
            ["positive, finite computation, got one of more than 64 bits"],
        ),
    ],
)
def test_bad_content_is_refused_by_client(tmp_path, content, words):
    message = refusal(fedscale_devices, saved(tmp_path, content))
    assert message.startswith("client_device_capacity")
    for word in words:
        assert word in message


def test_every_truncated_file_is_refused(tmp_path):
    whole = pickle.dumps(GOOD)
    for end in range(len(whole)):
        assert "client_device_capacity: expected" in refusal(fedscale_devices, saved(tmp_path, whole[:end]))


@STEADY
@given(st.binary(max_size=60))
def test_bytes_that_are_no_pickle_are_refused(tmp_path_factory, content):
    path = saved(tmp_path_factory.mktemp("traces"), content)
    refusal(fedscale_devices, path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    assert "none: expected a file, got No such file" in refusal(fedscale_devices, tmp_path / "none")
    assert "expected a file, got Is a directory" in refusal(fedscale_devices, tmp_path)
