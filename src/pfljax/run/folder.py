"""The run folder: every file is valid at any moment, whatever ends the run."""

import csv
import errno
import io
import json
import math
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any, Literal

import jax
import numpy as np

from pfljax.data import Population
from pfljax.errors import PflError
from pfljax.evaluate import Evaluation
from pfljax.run.config import RunConfig, plain
from pfljax.run.job import phase_seeds
from pfljax.run.resume import WHAT, Left

Status = Literal["running", "finished", "interrupted", "diverged", "failed"]


def choose(config: RunConfig, now: float | None = None) -> Path:
    """The folder of a run. Raises PflError if it holds something or cannot be made; makes nothing yet.

    now: what `time.time` gave, for folders that are named by the time
    """
    named = config.out
    if named is None:
        named = f"runs/{config.population.name}-{time.strftime('%Y%m%d-%H%M%S', time.localtime(now))}"
    if config.out == "" or "\0" in named:
        raise PflError(f"--out: expected the name of a folder, got {named!r}")
    try:
        return _free(Path(named), named)
    except OSError as error:
        raise PflError(f"--out: expected a folder that can be made, got {named!r}: {error.strerror}") from error


def _free(path: Path, named: str) -> Path:
    if path.is_dir() and any(path.iterdir()):
        raise PflError(f"--out: expected a new or empty folder, got {named!r}, which holds files; name another one")
    above = next(each for each in (path, *path.absolute().parents) if each.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        what = "cannot be written to" if above.is_dir() else "is a file"
        raise PflError(f"--out: expected a folder that can be made, got {named!r}, but {str(above)!r} {what}")
    return path


def write(path: Path, content: str | bytes) -> None:
    """Replaces a file as a whole: a reader finds the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content.encode() if isinstance(content, str) else content)
    os.replace(part, path)


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON that every reader takes: numbers that are not finite become null."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass
class Folder:
    """An open run folder."""

    path: Path
    manifest: dict[str, Any]

    @staticmethod
    def make(path: Path) -> None:
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PflError(f"--out: expected a folder that can be made, got {str(path)!r}: {error}") from error

    @staticmethod
    def open(path: Path, config: RunConfig, population: Population) -> "Folder":
        """Makes the folder with the manifest of a run that begins."""
        Folder.make(path)
        folder = Folder(path, _manifest(config, population))
        try:
            folder._write_manifest()
            write(path / "rounds.jsonl", "")
        except OSError as error:
            raise PflError(f"--out: expected a folder that can be written to, got {str(path)!r}: {error}") from error
        return folder

    @staticmethod
    def reopen(before: Left) -> "Folder":
        """The folder of a run that goes on."""
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        resumed = [*before.manifest.get("resumed", []), now]
        folder = Folder(before.path, before.manifest | {"status": "running", "message": None, "resumed": resumed})
        try:
            folder._write_manifest()
        except OSError as error:
            raise PflError(
                f"{WHAT}: expected a folder that can be written to, got {str(before.path)!r}: {error}"
            ) from error
        return folder

    def replace_rounds(self, records: Sequence[dict], is_forced: bool) -> None:
        """Replaces rounds.jsonl as a whole; unless forced, only if that takes no line away."""
        path = self.path / "rounds.jsonl"
        if is_forced or not path.exists() or path.read_bytes().count(b"\n") <= len(records):
            write(path, "".join(to_json(record) + "\n" for record in records))

    def add_rounds(self, records: tuple[dict, ...]) -> None:
        """Appends to rounds.jsonl and flushes."""
        lines = "".join(to_json(record) + "\n" for record in records).encode()
        with (self.path / "rounds.jsonl").open("ab", buffering=0) as file:
            if file.write(lines) < len(lines):  # one system call: whole lines, unless the disk is full
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(
        self,
        status: Status,
        *,
        compile_seconds: float,
        wall_seconds: float,
        seconds: dict[str, float] | None = None,
        how: dict[str, str] | None = None,
        best: dict[str, dict] | None = None,
        message: str | None = None,
    ) -> None:
        """Writes down how the run ended, and how its phases were executed; times add to those before it was resumed.

        best: {phase: its best round on validation rows}
        """
        before = self.manifest
        self.manifest = before | {
            "status": status,
            "message": message,
            "compile_seconds": (before["compile_seconds"] or 0.0) + compile_seconds,
            "wall_seconds": (before["wall_seconds"] or 0.0) + wall_seconds,
            "seconds": _added(before["seconds"], seconds or {}),
            "how": before.get("how", {}) | (how or {}),
            "best": best or {},
        }
        self._write_manifest()

    def add_evaluation(self, evaluation: Evaluation, population: Population, verdict: str) -> None:
        """Writes clients.csv and summary.json."""
        write(self.path / "clients.csv", clients_csv(evaluation, population))
        summary = {
            "metric": evaluation.metric,
            "hurt_against": evaluation.against,
            "rows": evaluation.rows(),
            "verdict": verdict,
        }
        write(self.path / "summary.json", to_json(summary, indent=2) + "\n")

    def add_figure(self, name: str, png: bytes) -> None:
        write(self.path / "figures" / f"{name}.png", png)

    def _write_manifest(self) -> None:
        write(self.path / "manifest.json", to_json(self.manifest, indent=2) + "\n")


def column(name: str) -> str:
    """An entry's name as the start of a column's name.

    >>> column("FedAvg fine-tuned")
    'fedavg_fine_tuned'
    """
    return name.lower().replace(" ", "_").replace("-", "_")


def clients_csv(evaluation: Evaluation, population: Population) -> str:
    """One row a client: who it is, its examples, every entry's test figures, whether the entry hurts it."""
    groups = population.groups or population.ids
    columns: dict[str, Any] = {"id": population.ids, "group": groups, "seen": evaluation.seen.astype(int)}
    columns |= {f"{split}_rows": population.sizes(split) for split in ("train", "validation", "test")}
    for entry in evaluation.entries:
        for metric in entry.curve.better:
            columns[f"{column(entry.name)}.{metric}"] = entry.test(metric)
        if entry.name != evaluation.against:
            columns[f"{column(entry.name)}.hurt"] = evaluation.hurt(entry.name).astype(int)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([[_cell(value) for value in row] for row in zip(*columns.values(), strict=True)])
    return text.getvalue()


def _cell(value: Any) -> Any:
    """Figures with 6 digits; nothing where a client has no such rows."""
    if isinstance(value, float | np.floating):
        return "" if math.isnan(value) else f"{value:.6g}"
    return value


def _manifest(config: RunConfig, population: Population) -> dict[str, Any]:
    devices = jax.devices()
    warmup, afterwards = phase_seeds(config.seed)
    return {
        "status": "running",
        "message": None,
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "config": plain(config),
        "seeds": {"warmup": warmup._asdict(), "afterwards": afterwards._asdict()},
        "population": {
            "name": population.about.name,
            "checksum": population.checksum(),
            "partition": population.about.partition or None,
            "clients": population.num_clients,
            "examples": population.num_rows,
            "source": population.about.source,
            "licence": population.about.licence,
        },
        "versions": {name: version(name) for name in ("pfljax", "jax", "jaxlib", "flax", "optax", "numpy")}
        | {"python": python_version()},
        "devices": {"platform": devices[0].platform, "kind": devices[0].device_kind, "count": len(devices)},
        "cores": len(os.sched_getaffinity(0)),
        "git_revision": git_revision(),
        "compile_seconds": None,
        "wall_seconds": None,
        "seconds": {},
    }


def _added(before: dict[str, float], seconds: dict[str, float]) -> dict[str, float]:
    return before | {phase: before.get(phase, 0.0) + each for phase, each in seconds.items()}


def git_revision() -> str | None:
    """The commit of the checkout that the run was started in, if it was."""
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    except FileNotFoundError:  # no git on this machine
        return None
    return found.stdout.strip() or None if found.returncode == 0 else None
