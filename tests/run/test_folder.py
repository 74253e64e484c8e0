"""The run folder: what is in it, that it is valid, that it never replaces anything."""

import csv
import json
import math
import subprocess

import numpy as np
import pytest

from pfljax import PflError, data
from pfljax.run.config import RunConfig
from pfljax.run.folder import Folder, choose, to_json, write

MODELS = ["constant", "local_only", "fedavg_shared", "fedavg_fine_tuned", "maml_personalized", "donor_control"]


def strict(text: str):
    """Only what the JSON standard allows: json.loads takes NaN by itself."""

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_all_files_are_there_and_no_part_of_one(finished):
    paths = [path.relative_to(finished) for path in finished.rglob("*") if path.is_file()]
    names = sorted(path.as_posix() for path in paths if path.parts[0] != "checkpoints")
    phases = {path.parts[1:3] for path in paths if path.parts[0] == "checkpoints" and path.name != ".lock"}
    assert phases == {("warmup", "3"), ("fedavg", "2"), ("per_fedavg", "2")}
    assert names == [
        *(".lock", "clients.csv", "figures/gain.png", "figures/learning_curve.png"),
        *("manifest.json", "rounds.jsonl", "summary.json"),
    ]


def test_manifest(finished):
    manifest = strict((finished / "manifest.json").read_text())
    assert manifest["status"] == "finished"
    assert manifest["config"]["population"] == {"name": "wearable", "hidden": 4}
    assert manifest["config"]["algorithm"]["name"] == "per_fedavg"
    assert manifest["config"]["warmup"]["steps"] == 2
    assert manifest["seeds"]["warmup"] == {"split": 0, "sampling": 0, "model": 0}
    assert manifest["seeds"]["afterwards"]["split"] == 0
    assert manifest["seeds"]["afterwards"]["sampling"] > 0
    assert manifest["population"]["checksum"] == data.load("wearable").checksum()
    assert manifest["population"]["clients"] == 20
    assert set(manifest["versions"]) == {"pfljax", "jax", "jaxlib", "flax", "optax", "numpy", "python"}
    assert manifest["devices"]["count"] == 8
    assert manifest["devices"]["platform"] == "cpu"
    assert 0 < manifest["compile_seconds"] < manifest["wall_seconds"]
    assert set(manifest["seconds"]) == {"warmup", "fedavg", "per_fedavg", "evaluation"}
    assert all(each > 0 for each in manifest["seconds"].values())
    assert manifest["cores"] >= 1
    assert manifest["git_revision"] is None or len(manifest["git_revision"]) == 40


def test_rounds_tell_the_phases_apart(finished):
    records = [strict(line) for line in (finished / "rounds.jsonl").read_text().splitlines()]
    assert [record["phase"] for record in records] == ["warmup"] * 3 + ["fedavg"] * 2 + ["per_fedavg"] * 2
    assert [record["round"] for record in records] == [0, 1, 2, 0, 1, 0, 1]
    assert all(math.isfinite(record["loss"]) and record["clients"] == 4 for record in records)


def test_clients_one_row_each(finished):
    with (finished / "clients.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    population = data.load("wearable")
    assert [row["id"] for row in rows] == list(population.ids)
    assert [row["group"] for row in rows] == list(population.groups or ())
    assert [int(row["test_rows"]) for row in rows] == population.sizes("test").tolist()
    assert sum(row["seen"] == "1" for row in rows) == 16
    figures = {f"{model}.{metric}" for model in MODELS for metric in ("accuracy", "loss")}
    flags = {f"{model}.hurt" for model in MODELS if model != "fedavg_shared"}
    assert set(rows[0]) == {"id", "group", "seen", "train_rows", "validation_rows", "test_rows"} | figures | flags
    for row in rows:
        is_worse = float(row["donor_control.accuracy"]) < float(row["fedavg_shared.accuracy"])
        assert row["donor_control.hurt"] == str(int(is_worse))


def test_summary_agrees_with_clients(finished):
    summary = strict((finished / "summary.json").read_text())
    assert {row["clients"] for row in summary["rows"]} == {"seen", "unseen"}
    assert {row["clients"] for row in summary["rows"]} == {"seen", "unseen"}
    assert set(summary) == {"metric", "hurt_against", "rows", "verdict"}  # no times: the same run, the same bytes
    with (finished / "clients.csv").open(newline="") as file:
        unseen = [float(row["fedavg_shared.accuracy"]) for row in csv.DictReader(file) if row["seen"] == "0"]
    shared = next(row for row in summary["rows"] if row["model"] == "FedAvg shared" and row["clients"] == "unseen")
    assert shared["mean"] == pytest.approx(np.mean(unseen), abs=1e-5)
    assert summary["verdict"].startswith("On unseen clients, MAML personalized reaches")


def test_times_add_up_when_a_run_goes_on(tmp_path):
    manifest = {"compile_seconds": 1.0, "wall_seconds": 2.0, "seconds": {"warmup": 1.5}, "how": {"warmup": "width 1"}}
    folder = Folder(tmp_path, manifest)
    folder.close("finished", compile_seconds=0.5, wall_seconds=3.0, seconds={"warmup": 1.0, "fedavg": 2.0}, how={})
    written = strict((tmp_path / "manifest.json").read_text())
    assert (written["compile_seconds"], written["wall_seconds"]) == (1.5, 5.0)
    assert (written["seconds"], written["how"]) == ({"warmup": 2.5, "fedavg": 2.0}, {"warmup": "width 1"})


def test_replaced_rounds_take_no_line_away_unless_they_must(tmp_path):
    folder, path = Folder(tmp_path, {}), tmp_path / "rounds.jsonl"
    path.write_text('{"round": 0}\n{"round": 1}\n{"rou')
    folder.replace_rounds([{"round": 0}], is_forced=False)
    assert path.read_text().endswith('{"rou')
    folder.replace_rounds([{"round": 0}, {"round": 1}], is_forced=False)
    assert path.read_text() == '{"round": 0}\n{"round": 1}\n'
    folder.replace_rounds([{"round": 0}], is_forced=True)
    assert path.read_text() == '{"round": 0}\n'


def test_a_full_disk_is_met_by_what_is_written(tmp_path):
    (tmp_path / "rounds.jsonl").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        Folder(tmp_path, {}).add_rounds(({"round": 0},))


def test_json_has_no_nan():
    found = to_json({"a": [float("nan"), np.float32("inf"), np.int64(3)], "b": (1.5, None, "x")})
    assert strict(found) == {"a": [None, None, 3], "b": [1.5, None, "x"]}


def test_writing_replaces_the_whole_file(tmp_path):
    path = tmp_path / "deep" / "file.txt"
    write(path, "long first content")
    write(path, b"second")
    assert path.read_text() == "second"
    assert [each.name for each in path.parent.iterdir()] == ["file.txt"]


def test_a_used_folder_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(PflError, match=r"--out: expected a new or empty folder, got .*, which holds files; name"):
        choose(RunConfig(out=str(tmp_path)))


def test_a_folder_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    for out in ("file", "file/below/it"):
        with pytest.raises(PflError, match=r"--out: expected a folder that can be made, got .*file' is a file"):
            choose(RunConfig(out=str(tmp_path / out)))


def test_choosing_makes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert choose(RunConfig()).as_posix().startswith("runs/keyboard-20")
    assert choose(RunConfig(out="new/folder")).as_posix() == "new/folder"
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_taken(tmp_path):
    assert choose(RunConfig(out=str(tmp_path))) == tmp_path


@pytest.mark.parametrize("is_checkout", [True, False])
def test_git_revision(tmp_path, monkeypatch, is_checkout):
    from pfljax.run import folder

    answer = subprocess.CompletedProcess([], 0 if is_checkout else 128, "a" * 40 + "\n" if is_checkout else "", "")
    monkeypatch.setattr(folder.subprocess, "run", lambda *_, **__: answer)
    assert folder.git_revision() == ("a" * 40 if is_checkout else None)
