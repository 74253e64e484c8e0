"""Whole runs on a disk that is really full, and in folders that may really not be written to."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

WORDS = [
    *("wearable", "algorithm:fedavg_finetune", "--rounds", "1000", "--warmup-rounds", "1000", "--cohort", "4"),
    *("--population.hidden", "4", "--warmup.steps", "1", "--adapt.most-steps", "2", "--local.most-steps", "2"),
    *("--checkpoint.keep", "1", "--engine.devices", "1"),
]
CODE = "import sys; from pfljax.cli import main; sys.exit(main())"
# Root keeps its name, and is held to permissions as others are, from the next program on (PR_CAPBSET_DROP,
# CAP_DAC_OVERRIDE).
WITHOUT_RIGHTS = """
import ctypes, os, sys
if os.geteuid() == 0:
    ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)
os.execv(sys.executable, [sys.executable, "-c", *sys.argv[1:]])
"""


def no_file_beyond(num_bytes: int) -> str:
    return f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({num_bytes}, {num_bytes})); "


def command(*words: str, before: str = "", has_rights: bool = True) -> tuple[int, str]:
    """(exit code, stderr) of the command in a process of its own. before: what that does first"""
    begin = [sys.executable, "-c"] if has_rights else [sys.executable, "-c", WITHOUT_RIGHTS]
    inherited = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(
        [*begin, before + CODE, "run", *words], capture_output=True, text=True, timeout=300,
        env=inherited | {"JAX_ENABLE_COMPILATION_CACHE": "false"},
    )  # fmt: skip
    return done.returncode, done.stderr


def rounds(folder: Path) -> list[dict]:
    """The records, without the speeds. Raises if a line is not whole."""
    lines = (folder / "rounds.jsonl").read_text().splitlines()
    return [{**json.loads(line), "clients_per_second": 0} for line in lines]


def whole_rounds(folder: Path) -> list[dict]:
    """`rounds`, without the last line if it was cut."""
    text = (folder / "rounds.jsonl").read_bytes()
    return [{**json.loads(line), "clients_per_second": 0} for line in text[: text.rfind(b"\n") + 1].splitlines()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The run with room enough."""
    out = tmp_path_factory.mktemp("room") / "out"
    code, err = command(*WORDS, "--out", str(out))
    assert code == 0, err
    return out


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 600 kB, where this machine lets us make one."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def check_gone_on(out: Path, whole: Path, recorded: list[dict]) -> None:
    """`--resume` ends as the run that had room, and what had been recorded is still what it was."""
    code, err = command("--resume", str(out))
    assert code == 0, err
    assert rounds(out) == rounds(whole)
    assert rounds(out)[: len(recorded)] == recorded
    for name in ("summary.json", "clients.csv"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    assert json.loads((out / "manifest.json").read_text())["status"] == "finished"


@pytest.mark.slow
def test_a_disk_that_is_full_while_a_run_is_saved(small_disk, whole):
    """Every block is saved, with all records so far: the disk is full before the run is over."""
    out = small_disk / "out"
    code, err = command(*WORDS, "--out", str(out), "--checkpoint.every", "0")
    assert code == 2, err
    assert err.startswith("pfljax: ")
    assert err.count("\n") == 1  # and no traceback
    assert f"{out}" in err
    assert "make room" in err
    recorded = whole_rounds(out)
    assert 0 < len(recorded) < 2000
    assert recorded == rounds(whole)[: len(recorded)]
    code, err = command("--resume", str(out))  # still no room: said again, and nothing is lost by trying
    assert code == 2, err
    assert str(out) in err
    assert whole_rounds(out)[: len(recorded)] == recorded
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    check_gone_on(out, whole, recorded)


@pytest.mark.slow
def test_a_record_that_cannot_be_appended(tmp_path, whole):
    """No file may grow beyond what rounds.jsonl has in the middle of the second phase."""
    out, most = tmp_path / "out", (whole / "rounds.jsonl").stat().st_size * 3 // 4
    code, err = command(*WORDS, "--out", str(out), before=no_file_beyond(most))
    assert code == 2, err
    assert f"pfljax: {out}: expected it to be written to, got " in err
    assert f"what was recorded stays, make room, then: pfljax run --resume {out}" in err
    recorded = whole_rounds(out)
    assert 1000 < len(recorded) < 2000
    assert recorded == rounds(whole)[: len(recorded)]
    assert (out / "rounds.jsonl").stat().st_size <= most
    assert json.loads((out / "manifest.json").read_text())["status"] == "failed"
    check_gone_on(out, whole, recorded)


@pytest.fixture
def read_only(tmp_path) -> Iterator[Path]:
    """A folder that may be read only; skipped where nothing keeps this user from writing."""
    folder = tmp_path / "mine"
    folder.mkdir()
    folder.chmod(0o555)
    probe = f"open({str(folder / 'probe')!r}, 'w')"
    if subprocess.run([sys.executable, "-c", WITHOUT_RIGHTS, probe], capture_output=True).returncode == 0:
        pytest.skip("this user may write everywhere")
    yield folder
    folder.chmod(0o755)


@pytest.mark.slow
def test_a_folder_that_may_not_be_written_to(read_only):
    for out in (read_only, read_only / "below" / "it"):
        code, err = command(*WORDS, "--out", str(out), has_rights=False)
        assert (code, err.count("\n")) == (2, 1)
        said = f"pfljax: --out: expected a folder that can be made, got '{out}', but '{read_only}' cannot be written to"
        assert err.startswith(said)
    assert list(read_only.iterdir()) == []


@pytest.mark.slow
def test_a_run_that_may_no_longer_be_written_to(read_only, tmp_path, whole):
    """It is not gone on with, and its files stay what they are."""
    out = tmp_path / "out"
    subprocess.run(["cp", "-r", str(whole), str(out)], check=True)
    manifest = json.loads((out / "manifest.json").read_text())
    (out / "manifest.json").write_text(json.dumps(manifest | {"status": "interrupted"}))
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    paths = [out, *(path for path in out.rglob("*"))]
    modes = {path: path.stat().st_mode for path in paths}
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    code, err = command("--resume", str(out), has_rights=False)
    for path, mode in modes.items():
        path.chmod(mode)
    assert (code, err.count("\n")) == (2, 1)
    assert f"--resume: expected a folder that can be written to, got '{out}': " in err
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
