"""Comparing counters with budgets, and the files that hold them."""

import json

import pytest

from pfljax.errors import PflError
from pfljax.gate.budget import NoBudget, budget_for, changes, check, read, setting, tolerance, write

BUDGET = {"mlp": {"operations": 1000, "host_callbacks": 0, "argument_bytes": 10_000, "temp_bytes": 10_000}}


def measured(**counters) -> dict:
    return {"mlp": {**BUDGET["mlp"], **counters}}


def test_the_same_passes():
    assert changes(measured(), BUDGET) == []


@pytest.mark.parametrize(
    ("counter", "value", "line"),
    [
        ("operations", 1001, "mlp: operations: was 1,000, is 1,001 (+0.10 %)"),
        ("operations", 1000.5, "mlp: operations: was 1,000, is 1,000.5 (+0.05 %)"),
        ("host_callbacks", 1, "mlp: host_callbacks: was 0, is 1 (from none)"),
        ("argument_bytes", 10_201, "mlp: argument_bytes: was 10,000, is 10,201 (+2.01 %)"),
        ("temp_bytes", 10_501, "mlp: temp_bytes: was 10,000, is 10,501 (+5.01 %)"),
    ],
)
def test_growing_fails_on_one_line(counter, value, line):
    (failure,) = check(measured(**{counter: value}), BUDGET)
    assert str(failure) == line


@pytest.mark.parametrize(("counter", "value"), [("argument_bytes", 10_200), ("temp_bytes", 10_500)])
def test_bytes_may_grow_a_little(counter, value):
    assert changes(measured(**{counter: value}), BUDGET) == []
    assert tolerance("operations") == 0


def test_shrinking_passes_and_is_told():
    less = measured(operations=900, temp_bytes=9_000, argument_bytes=9_900)
    assert check(less, BUDGET) == []
    assert [str(each) for each in changes(less, BUDGET)] == [
        "mlp: operations: was 1,000, is 900 (-10.00 %)",
        "mlp: temp_bytes: was 10,000, is 9,000 (-10.00 %)",
    ]


def test_what_has_no_budget_or_is_gone_fails():
    now = {"lr": {"operations": 1}, "mlp": {**BUDGET["mlp"], "new": 3}}
    budget = {"cnn": {"operations": 1, "temp_bytes": 1}, "mlp": {**BUDGET["mlp"], "old": 3}}
    assert [str(each) for each in check(now, budget)] == [
        "cnn: all counters: was 2, is no longer measured",
        "lr: all counters: had no budget, is 1",
        "mlp: new: had no budget, is 3",
        "mlp: old: was 3, is no longer measured",
    ]


def test_files_keep_the_budgets_of_other_versions(tmp_path):
    path = tmp_path / "of" / "gate.json"
    write(path, "jax 1.0.0 cpu", {"a": {"operations": 1}})
    write(path, "jax 2.0.0 cpu", {"a": {"operations": 2}, "b": {"temp_bytes": 0.5}})
    write(path, "jax 2.0.0 cpu", {"a": {"operations": 3}})
    assert read(path) == {"jax 1.0.0 cpu": {"a": {"operations": 1}}, "jax 2.0.0 cpu": {"a": {"operations": 3}}}
    assert budget_for(path, "jax 1.0.0 cpu") == {"a": {"operations": 1}}


def test_an_unknown_version_says_so(tmp_path):
    path = tmp_path / "gate.json"
    with pytest.raises(NoBudget, match=r"no budget for jax 3.0.0 cpu in .*gate.json, which has nothing; run update"):
        budget_for(path, "jax 3.0.0 cpu")
    write(path, "jax 1.0.0 cpu", {})
    with pytest.raises(NoBudget, match=r"which has jax 1.0.0 cpu; run update"):
        budget_for(path, "jax 3.0.0 cpu")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"jax 1.0.0 cpu": {"mlp": {"opera', "Unterminated string"),
        ("[1, 2]", r"a name for each setting, got \[1, 2\]"),
        ('{"jax 1.0.0 cpu": 3}', "a name for each workload, got 3"),
        ('{"jax 1.0.0 cpu": {"mlp": [1]}}', r"a name for each counter, got \[1\]"),
        ('{"jax 1.0.0 cpu": {"mlp": {"operations": "many"}}}', "a number for a counter, got 'many'"),
        ('{"jax 1.0.0 cpu": {"mlp": {"operations": null}}}', "a number for a counter, got None"),
        ('{"jax 1.0.0 cpu": {"mlp": {"operations": true}}}', "a number for a counter, got True"),
        ('{"jax 1.0.0 cpu": {"mlp": {"operations": NaN}}}', "NaN is not a number"),
        ('{"jax 1.0.0 cpu": {"mlp": {"operations": 1e999}}}', "a number for a counter, got inf"),
        ("\ufffe", "Expecting value"),
    ],
)
def test_corrupt_files_are_refused_for_reading_and_for_writing(tmp_path, text, why):
    path = tmp_path / "gate.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PflError, match=rf"budgets: expected .*gate.json to be one of `update`'s files, got .*{why}"):
        read(path)
    with pytest.raises(PflError, match="restore it, or delete it and run update"):
        write(path, "jax 1.0.0 cpu", {})
    assert path.read_text(encoding="utf-8") == text


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "gate.json"
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(PflError, match="restore it"):
        read(path)


def test_files_are_stable_and_readable(tmp_path):
    one, other = tmp_path / "one.json", tmp_path / "other.json"
    write(one, "s", {"b": {"y": 1, "x": 2}, "a": {}})
    write(other, "s", {"a": {}, "b": {"x": 2, "y": 1}})
    assert one.read_bytes() == other.read_bytes()
    assert json.loads(one.read_text()) == {"s": {"a": {}, "b": {"x": 2, "y": 1}}}


def test_settings_name_version_and_device():
    import jax

    assert setting().startswith(f"jax {'.'.join(jax.__version__.split('.')[:3])} cpu ")
