"""`fedscale_devices`: how fast the devices of FedScale's trace compute and communicate.

The file is a pickle of {client number: {"computation": ms per sample, "communication": kbps}}. A pickle is a program
for whoever loads it; here it may build dictionaries, numbers and text, and name nothing that could be called.
"""

import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pfljax.errors import PflError, nearest

SPEEDS = ("computation", "communication")
FLOAT32 = (float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max))


@dataclass(frozen=True, eq=False)
class DeviceTraces:
    """What devices can do, in the order of their file.

    ids:           [device] str
    computation:   [device] float32, milliseconds for one sample
    communication: [device] float32, kilobits a second
    """

    ids: tuple[str, ...]
    computation: np.ndarray
    communication: np.ndarray


def fedscale_devices(path: str | os.PathLike[str]) -> DeviceTraces:
    """FedScale's `client_device_capacity`. Keys beside the two speeds are passed over.

    Raises PflError, naming file and client, for anything but dictionaries, numbers and text in the file (nothing in
    it is ever run), for a speed that is missing, and for one that is not positive and finite.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            found = _Plain(file, path.name).load()
    except PflError:
        raise
    except OSError as error:
        raise PflError(f"{path}: expected a file, got {error.strerror}") from error
    except Exception as error:  # a damaged pickle may raise anything
        raise PflError(f"{path.name}: expected a whole pickle, got {type(error).__name__}: {error}") from error
    if type(found) is not dict or not found:
        got = "an empty one" if found == {} else f"a {type(found).__name__}"
        raise PflError(f"{path.name}: expected a dictionary {{client number: speeds}}, got {got}")
    ids, speeds = [], []
    for key, device in found.items():
        if type(key) not in (int, str):
            raise PflError(f"{path.name}: expected client numbers, got {key!r}, a {type(key).__name__}")
        if type(key) is int and not 0 <= key < 2**63:
            raise PflError(f"{path.name}: expected client numbers from 0, got one below it or above 2**63")
        ids.append(str(key))
        speeds.append([_speed(f"{path.name}, client {key!r}", device, name) for name in SPEEDS])
    if len(set(ids)) < len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise PflError(f"{path.name}: expected every client once, got {twice!r} as a number and as text")
    computation, communication = np.array(speeds, np.float32).T.copy()
    return DeviceTraces(tuple(ids), computation, communication)


class _Plain(pickle.Unpickler):
    """Builds what needs no name: numbers, text and containers."""

    def __init__(self, file: Any, title: str):
        super().__init__(file)
        self.title = title

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        raise PflError(
            f"{self.title}: expected dictionaries, numbers and text alone, got the name {module_name}.{global_name}, "
            "which was not loaded; do not trust this file"
        )


def _speed(what: str, device: Any, name: str) -> float:
    if type(device) is not dict:
        raise PflError(f"{what}: expected {{'computation': ..., 'communication': ...}}, got a {type(device).__name__}")
    if name not in device:
        raise PflError(f"{what}: expected {name!r}, got {list(device)}{nearest(name, map(str, device))}")
    value = device[name]
    if type(value) not in (int, float):
        raise PflError(f"{what}: expected a number as {name}, got {value!r}, a {type(value).__name__}")
    if not FLOAT32[0] <= value <= FLOAT32[1]:
        is_short = type(value) is float or abs(value) < 2**64  # whole numbers of a pickle may have no end
        got = repr(value) if is_short else "one of more than 64 bits"
        raise PflError(f"{what}: expected a positive, finite {name}, got {got}")
    return value
