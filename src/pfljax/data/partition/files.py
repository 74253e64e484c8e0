"""Partitions on disk: an npz of two arrays and their facts as JSON, read without pickle.

rows [dealt row] int64, offsets [client + 1] int64, facts [byte] uint8: UTF-8 JSON with the keys FACTS, `sha256` and
`format`
"""

import json
import os
import tempfile
import zipfile
import zlib
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from pfljax.errors import PflError

FORMAT = 1
FACTS = ("ids", "groups", "source", "num_rows", "name", "parameters", "seed")
KEYS = ("rows", "offsets", "facts")


def write(path: str | PathLike[str], rows: np.ndarray, offsets: np.ndarray, facts: dict[str, Any]) -> None:
    """Writes a file beside `path` and moves it there. Raises PflError where that cannot be written."""
    text = json.dumps(facts | {"parameters": dict(facts["parameters"]), "format": FORMAT}, ensure_ascii=False)
    path, temporary = Path(path), None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npz", delete=False) as file:
            temporary = Path(file.name)
            np.savez(file, rows=rows, offsets=offsets, facts=np.frombuffer(text.encode(), np.uint8))
        os.replace(temporary, path)
    except OSError as error:
        raise PflError(f"{path}: expected a place to write a partition, got {error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def read(path: str | PathLike[str]) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """(rows, offsets, facts). Raises PflError for a file that is missing, damaged or something else."""
    try:
        with zipfile.ZipFile(path) as archive:
            if (found := sorted(archive.namelist())) != sorted(f"{key}.npy" for key in KEYS):
                raise PflError(f"{path}: expected a partition with {', '.join(KEYS)}, got an archive with {found[:5]}")
            if damaged := archive.testzip():  # before anything in it is believed
                raise PflError(f"{path}: expected a whole file, got a damaged {damaged}; make the partition again")
        with np.load(path, allow_pickle=False) as arrays:
            rows, offsets, text = (arrays[key] for key in KEYS)
        facts = json.loads(text.tobytes().decode())
    except PflError:
        raise
    except FileNotFoundError as error:
        raise PflError(f"{path}: expected a partition's file, got none; save one there first") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise PflError(
            f"{path}: expected a partition's npz, got a damaged file or another kind ({error}); make it again"
        ) from error
    return rows, offsets, _facts(path, facts)


def _facts(path: str | PathLike[str], facts: Any) -> dict[str, Any]:
    wrong = _wrong(facts)
    if wrong:
        raise PflError(f"{path}: expected the facts of a partition (format {FORMAT}), got {wrong}; make it again")
    del facts["format"]
    facts["ids"] = tuple(facts["ids"])
    facts["groups"] = None if facts["groups"] is None else tuple(facts["groups"])
    return facts


def _wrong(facts: Any) -> str:
    """What is wrong with the facts of a file, or the empty string."""
    if not isinstance(facts, dict) or set(facts) != {*FACTS, "format", "sha256"}:
        return f"the keys {sorted(facts)}" if isinstance(facts, dict) else f"a {type(facts).__name__}"
    strings = lambda value: isinstance(value, list) and all(isinstance(word, str) for word in value)
    number = lambda value: isinstance(value, int) and not isinstance(value, bool)
    good = {
        "format": facts["format"] == FORMAT,
        "ids": strings(facts["ids"]),
        "groups": facts["groups"] is None or strings(facts["groups"]),
        "num_rows": number(facts["num_rows"]) and 0 < facts["num_rows"] < 2**63,
        "seed": facts["seed"] is None or number(facts["seed"]),
        "parameters": isinstance(facts["parameters"], dict),
        **{name: isinstance(facts[name], str) for name in ("source", "name", "sha256")},
    }
    return ", ".join(f"{name} = {str(facts[name])[:40]}" for name, is_good in good.items() if not is_good)
