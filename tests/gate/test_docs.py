"""The example of docs/performance_gate.md is run as printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pfljax as pfl
from pfljax.gate.budget import read

PAGE = (Path(__file__).parents[2] / "docs" / "performance_gate.md").read_text()


def example(name: str) -> str:
    (found,) = re.findall(rf"<!-- example: {name} -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    return found


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs the script in this process; returns its exit code."""
    monkeypatch.setattr(pfl, "use_cores", lambda num: None)  # devices are already up here

    def run(*argv: str) -> int:
        monkeypatch.setattr(sys, "argv", ["gate.py", *argv])
        with pytest.raises(SystemExit) as stop:
            exec(example("script"), {"__file__": str(tmp_path / "gate.py")})
        return stop.value.code

    return run


def test_the_script_finds_no_budget_writes_one_and_compares(run, tmp_path, monkeypatch, capsys):
    assert run("check") == 3
    assert run("update") == 0
    (workloads,) = read(tmp_path / "budgets.json").values()
    found = workloads["fedprox"]
    assert found["steps"] > 0
    assert found["operations"] > 0
    assert found["compiles_later"] == found["host_callbacks"] == found["collectives_in_client_loops"] == 0
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| `[^|]*\|", PAGE, re.MULTILINE))))  # first cells
    assert [name for name in found if name not in named and not name.startswith("hlo_")] == []
    monkeypatch.setattr("pfljax.gate.command.measure", lambda of: {**found, "host_callbacks": 1})
    assert run("check") == 1
    assert "FAILED fedprox: host_callbacks: was 0, is 1 (from none)" in capsys.readouterr().out


@pytest.mark.slow
def test_the_script_checks_what_another_process_wrote(tmp_path):
    script = tmp_path / "performance" / "gate.py"
    script.parent.mkdir()
    script.write_text(example("script"))
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    (check,) = re.findall(r"run: python (performance/gate.py check .*)", example("workflow"))
    for words in (["performance/gate.py", "update"], check.split()):
        done = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert "0 of 33 counters of 1 workloads fail" in done.stdout
    assert (tmp_path / "figures.json").exists()
