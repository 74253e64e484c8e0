"""Reads the vendored files: without pickle, and only if their sha256 is the recorded one."""

import hashlib
import io
import json
from importlib.resources import files
from importlib.resources.abc import Traversable

import numpy as np

from pfljax.data.population import About
from pfljax.errors import PflError, nearest


def folder() -> Traversable:
    return files("pfljax") / "data" / "vendored"


def record(name: str) -> dict[str, str]:
    """What checksums.json says of a data set: sha256, source, version, licence."""
    return json.loads((folder() / "checksums.json").read_text(encoding="utf-8"))[f"{name}.npz"]


def read(name: str) -> dict[str, np.ndarray]:
    """The arrays of vendored/<name>.npz; PflError if the file is not the recorded one."""
    content = (folder() / f"{name}.npz").read_bytes()
    found, expected = hashlib.sha256(content).hexdigest(), record(name)["sha256"]
    if found != expected:
        raise PflError(f"{name}.npz: expected sha256 {expected}, got {found}; the file is damaged, reinstall pfljax")
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return dict(archive)


def about(name: str, task: str, num_classes: int = 0) -> About:
    """What the records say of a population; num_classes=0: its target is a number."""
    kept = record(name)
    source = f"{kept['source']} {kept['version']}"
    return About(name=name, task=task, num_classes=num_classes, source=source, licence=kept["licence"])


def choice(option: str, value: object, known: tuple[str, ...]) -> None:
    """Raises PflError unless `value` is one of the words known."""
    if value not in known:
        raise PflError(f"{option}: expected one of {', '.join(known)}, got {value!r}{nearest(str(value), known)}")
