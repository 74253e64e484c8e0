"""One virtual environment per peer, built from its pinned requirements and kept in the user's cache folder."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

REQUIREMENTS = Path(__file__).parent / "requirements"
PYTHON = "3.11"  # the newest that all peers run on


class Missing(Exception):
    """An environment that cannot be built; the text says why and where pip's words are."""


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "pfljax" / "peers"


def python(requirements: Path, folder: Path | None = None) -> Path:
    """The Python of an environment with these requirements; builds it the first time. Raises Missing."""
    folder = folder or cache()
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(PYTHON.encode() + requirements.read_bytes()).hexdigest()[:12]
    home = folder / f"{requirements.stem}-{digest}"
    log, done = home.with_suffix(".log"), home / "complete"
    with home.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two drivers may want it at once
        if not done.exists():
            shutil.rmtree(home, ignore_errors=True)
            _build(home, requirements, log)
            done.touch()
    return home / "bin" / "python"


def _build(home: Path, requirements: Path, log: Path) -> None:
    base = shutil.which(f"python{PYTHON}")
    if base is None:
        raise Missing(f"python{PYTHON} is not installed")
    print(f"building {home.name} (log: {log})", flush=True)
    install = [home / "bin" / "python", "-m", "pip", "install", "--disable-pip-version-check", "-r", requirements]
    with log.open("w") as out:
        for command in ([base, "-m", "venv", home], install):
            if subprocess.run(command, stdout=out, stderr=subprocess.STDOUT).returncode:
                raise Missing(f"{_reason(log)} (log: {log})")


def _reason(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    errors = [line.strip() for line in lines if line.lower().startswith("error")]
    return (errors or lines or ["no output"])[-1]
