"""The command line: exit codes, what is printed, what is written. Measuring is replaced; other tests do it."""

import json

import numpy as np
import pytest

from pfljax import gate
from pfljax.gate import command as module
from pfljax.gate.timing import Timing
from tests.gate.workloads import fedavg, workload


@pytest.fixture
def now(monkeypatch) -> dict[str, dict]:
    """What measuring each workload gives."""
    found = {"lr": {"operations": 10, "temp_bytes": 100}, "mlp": {"operations": 1000, "temp_bytes": 1000}}
    monkeypatch.setattr(module, "measure", lambda of: dict(found[of]))
    monkeypatch.setattr(
        module, "timed", lambda of: Timing(np.array([100.0, 50.0, 10.0]), np.array([150.0, 100.0, 10.0]))
    )
    return found


@pytest.fixture
def gated(now, tmp_path):
    path = tmp_path / "budgets.json"
    return lambda *argv: module.main({"lr": "lr", "mlp": "mlp"}, argv, path)


def test_update_then_check_passes(gated, capsys):
    assert gated("update") == 0
    assert gated("check") == 0
    assert "0 of 4 counters of 2 workloads fail" in capsys.readouterr().out


def test_a_grown_counter_fails_on_one_line(gated, now, capsys):
    gated("update")
    now["mlp"]["operations"] = 1500
    assert gated("check") == 1
    lines = capsys.readouterr().out.splitlines()
    assert "FAILED mlp: operations: was 1,000, is 1,500 (+50.00 %)" in lines
    assert lines[-1].startswith("1 of 4 counters of 2 workloads fail (jax ")


def test_a_shrunk_counter_passes_and_can_be_kept(gated, now, capsys):
    gated("update")
    now["lr"]["operations"] = 8
    assert gated("check") == 0
    assert "better lr: operations: was 10, is 8 (-20.00 %); run update to keep it" in capsys.readouterr().out
    gated("update")
    now["lr"]["operations"] = 10
    assert gated("check") == 1


def test_only_looks_at_and_writes_what_is_named(gated, now, capsys):
    gated("update")
    now["lr"]["operations"], now["mlp"]["operations"] = 11, 1001
    assert gated("check", "--only", "lr") == 1
    assert "mlp" not in capsys.readouterr().out.split("FAILED")[1]
    gated("update", "--only", "lr")
    assert gated("check", "--only", "lr") == 0
    assert gated("check") == 1
    assert "FAILED mlp: operations: was 1,000, is 1,001" in capsys.readouterr().out


def test_no_budget_has_an_exit_code_of_its_own_and_measures_nothing(gated, monkeypatch, capsys):
    monkeypatch.setattr(module, "measure", None)
    assert gated("check") == 3
    assert "gate: no budget for jax " in capsys.readouterr().err


def test_mistakes(gated, tmp_path, capsys):
    assert gated("check", "--only", "ml") == 2
    assert "--only: expected one of lr, mlp, got 'ml', did you mean 'mlp'?" in capsys.readouterr().err
    assert gated("check", "--at-most", "2") == 2
    assert gated("check", "--json", str(tmp_path / "none" / "figures.json")) == 2
    assert module.main({}, ["check"], tmp_path / "budgets.json") == 2
    assert "at least one" in capsys.readouterr().err
    (tmp_path / "budgets.json").write_text("{")
    for command in ("check", "update"):
        assert gated(command) == 2
        assert "budgets: expected" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        gated("chek")


def test_ratios_are_told_and_fail_only_if_asked(gated, capsys):
    gated("update")
    assert gated("check", "--timed") == 0
    assert "mlp: 50 clients/s, bare 100: 1.50 times as long (half of repeats: 1.25 to 1.75)" in capsys.readouterr().out
    assert gated("check", "--timed", "--at-most", "1.6") == 0
    assert gated("check", "--timed", "--at-most", "1.4") == 1
    assert "FAILED mlp: times_bare: may be 1.4, is 1.50" in capsys.readouterr().out


def test_json_is_what_github_action_benchmark_reads(gated, tmp_path):
    file = tmp_path / "figures.json"
    assert gated("update", "--timed", "--json", str(file)) == 0
    entries = json.loads(file.read_text())
    assert all(set(entry) == {"name", "unit", "value", "extra"} for entry in entries)
    values = {entry["name"]: (entry["unit"], entry["value"]) for entry in entries}
    assert values == {
        "lr: operations": ("count", 10),
        "lr: temp_bytes": ("bytes", 100),
        "lr: times_bare": ("ratio", 1.5),
        "mlp: operations": ("count", 1000),
        "mlp: temp_bytes": ("bytes", 1000),
        "mlp: times_bare": ("ratio", 1.5),
    }


def test_figures_are_written_when_the_check_fails(gated, now, tmp_path):
    gated("update")
    now["lr"]["operations"] = 11
    assert gated("check", "--json", str(tmp_path / "figures.json")) == 1
    assert (tmp_path / "figures.json").exists()


def test_the_bare_loop_does_the_same_clients():
    """No judgement of speed: only that both sides run and that rates are positive."""
    found = gate.timed(workload(fedavg()))
    assert len(found.pfljax) == len(found.bare) > 1
    assert (np.stack(found) > 0).all()
