"""A run folder as what a run goes on from: its configuration read back, and compared with what is given."""

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

import pfljax
from pfljax.checkpoints.fingerprint import Fingerprint, check_same
from pfljax.errors import PflError
from pfljax.run.config import RunConfig, options

CHECKPOINTS = "checkpoints"
FREE = ("--out", "--engine.", "--checkpoint.")  # where and how: these may differ
REDUCTION = "--engine.reduction"  # but not this
WHAT = "--resume"


class Left(NamedTuple):
    """What a run has left in its folder."""

    path: Path
    manifest: dict[str, Any]
    config: RunConfig

    @property
    def is_finished(self) -> bool:
        return self.manifest["status"] == "finished"


def left(named: str) -> Left:
    """The run in a folder. Raises PflError if there is none, if it cannot be read, or if it was never saved."""
    path = Path(named)
    refused = lambda why: PflError(f"{WHAT}: expected the folder of a run, got {named!r}, {why}")
    try:
        text = (path / "manifest.json").read_text()
    except (OSError, ValueError) as error:
        why = "which is not there" if not path.is_dir() else f"whose manifest.json cannot be read: {error}"
        raise refused(why) from error
    try:
        manifest = json.loads(text)
        config = configured(RunConfig, manifest["config"])
        found = Left(path, manifest, replace(config, out=named))
        fingerprint(config, manifest["versions"]["pfljax"], manifest["population"]["checksum"])
        is_finished = found.is_finished
    except PflError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise refused(f"whose manifest.json is damaged, or another version's ({reason})") from error
    if not is_finished and not has_checkpoints(path):
        raise refused("which has no checkpoint yet; begin anew in another folder")
    return found


def how_to_resume(path: Path) -> str:
    return f"pfljax run --resume {shlex.quote(str(path))}"


def has_checkpoints(path: Path) -> bool:
    return any(each.name.isdecimal() for each in (path / CHECKPOINTS).glob("*/*"))


def configured(kind: Any, value: Any) -> Any:
    """A configuration from what `plain` made of it. Raises KeyError, TypeError or PflError for anything else."""
    if not isinstance(value, Mapping):
        return value
    kinds = [each for each in (kind, *get_args(kind)) if isinstance(each, type) and is_dataclass(each)]
    if len(kinds) > 1:
        kinds = [each for each in kinds if getattr(each, "name", None) == value["name"]]
    if not kinds:
        raise KeyError(str(value.get("name")))
    hints = get_type_hints(kinds[0])
    names = {each.name for each in fields(kinds[0])}
    if unknown := value.keys() - names - {"name"}:
        raise KeyError(", ".join(sorted(unknown)))
    return kinds[0](**{name: configured(hints[name], value[name]) for name in value if name in names})


def fingerprint(config: RunConfig, version: str, checksum: str) -> Fingerprint:
    """What may not differ: {option: value}, and which package and data they are for."""
    given = {name: value for name, value in options(config).items() if name == REDUCTION or not name.startswith(FREE)}
    about = {"pfljax": version, "population": config.population.name, "checksum": checksum}
    return json.loads(json.dumps(about | {"algorithm": config.algorithm.name} | given))


def check_same_run(before: Left, config: RunConfig, checksum: str | None = None) -> None:
    """Raises PflError, with every field that differs, unless `config` is the run's. checksum: of its population"""
    known: str = before.manifest["population"]["checksum"]
    old = fingerprint(before.config, before.manifest["versions"]["pfljax"], known)
    new = fingerprint(config, pfljax.__version__, known if checksum is None else checksum)
    check_same(WHAT, old, new, "leave it out, or begin anew in another folder")
    if os.path.abspath(config.out or "") != os.path.abspath(before.path):
        raise PflError(
            f"--out: expected the folder to go on in, {str(before.path)!r}, got {config.out!r}; leave it out"
        )
