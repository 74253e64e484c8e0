"""The comparison with other simulators: what is trained, who may be timed, what is made of the figures."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from peers import agreement, catalog, environments, race, table, work
from peers.batches import rectangle
from peers.contestants import bare
from peers.contestants import pfljax as ours
from peers.host import Contestant, Failed
from peers.table import Measured

TINY = catalog.make("lr", is_tiny=True)


def assert_same(mine: work.Work, other: work.Work):
    rest = {"arrays": {}, "params": {}, "offsets": 0, "schedule": 0, "folder": ""}
    assert replace(mine, **rest) == replace(other, **rest)
    for a, b in ((mine.arrays, other.arrays), (mine.params, other.params)):
        assert {k: v.dtype for k, v in a.items()} == {k: v.dtype for k, v in b.items()}
        assert all(np.array_equal(a[name], b[name]) for name in a)
    assert np.array_equal(mine.offsets, other.offsets)
    assert np.array_equal(mine.schedule, other.schedule)


@pytest.mark.parametrize("name", catalog.SETTINGS)
def test_a_work_is_the_same_every_time_and_on_disk(name, tmp_path):
    made = catalog.make(name, is_tiny=True)
    made.save(tmp_path)
    assert_same(made, catalog.make(name, is_tiny=True))
    assert_same(made, work.load(tmp_path))
    assert not np.array_equal(made.arrays["x"], catalog.make(name, is_tiny=True, seed=1).arrays["x"])


def test_the_schedule_is_the_one_that_pfljax_draws():
    ours.prepare(TINY, 1).run(0, 3)  # compares every round's clients
    other = replace(TINY, schedule=work.schedule(12, 5, 300, seed=1))
    with pytest.raises(RuntimeError, match="expected the schedule's clients"):
        ours.prepare(other, 1).run(0, 3)


@pytest.mark.parametrize("name", ["lr", "ragged", "maml"])
def test_the_check_population_leaves_no_room_for_order(name):
    check = catalog.make(name, is_tiny=True).check()
    assert (check.steps == 1).all()
    assert sorted(check.schedule[0]) == list(range(len(check.sizes)))
    assert len(check.arrays["x"]) == check.sizes.sum()


def test_pfljax_and_bare_train_the_same_and_a_wrong_rate_is_found():
    check = TINY.check()

    def result(prepare, which, **rest):
        runner = prepare(which, 1, **rest)
        loss = runner.loss()
        runner.run(0, 1)
        return loss, runner.params()

    reference = result(bare.prepare, check, width=1)
    off, status = agreement.verdict(check.params, reference, result(ours.prepare, check))
    assert (off < 1e-4, status) == (True, "")
    off, status = agreement.verdict(
        check.params, reference, result(bare.prepare, replace(check, lr=1.01 * check.lr), width=3)
    )
    assert off == pytest.approx(0.01, rel=0.01)
    assert status.startswith("trains something else: after a round it is off by 0.01")


@pytest.mark.parametrize("width", [1, 3])
def test_bare_pads_short_batches_as_pfljax_does(width):
    check = TINY.check()
    sizes = np.array([check.batch, check.batch - 1, check.batch // 2, 1])
    pick = np.concatenate([begin + np.arange(size) for begin, size in zip(check.offsets, sizes, strict=False)])
    arrays = {name: array[pick] for name, array in check.arrays.items()}
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    short = replace(check, arrays=arrays, offsets=offsets, weighting="uniform")  # bare's mean knows no sizes

    runner, other = bare.prepare(short, 1, width=width), ours.prepare(short, 1)
    other.run(0, 1)
    assert agreement.difference(short.params, runner.params(), other.params()) < 1e-4


def test_other_losses_names_and_numbers_are_something_else():
    start, params = {"w": np.zeros(2)}, {"w": np.ones(2)}
    status = lambda loss, mine: agreement.verdict(start, (2.0, params), (loss, mine))[1]
    assert status(2.0, params) == ""
    assert "initial loss 2.01, expected 2" in status(2.01, params)
    assert "initial loss nan" in status(float("nan"), params)
    for mine in ({"w": np.array([1, np.nan])}, {"w": np.ones(3)}, {"v": np.ones(2)}):
        assert "off by inf" in status(2.0, mine)


def test_a_rectangle_holds_every_row_once():
    ragged = catalog.make("ragged", is_tiny=True)
    cohort = ragged.schedule[0]
    rows, masks = rectangle(ragged, cohort, np.random.default_rng(0))
    assert rows.shape == masks.shape == (len(cohort), rows.shape[1], ragged.batch)
    for client, row, mask in zip(cohort, rows, masks, strict=True):
        assert sorted(row[mask]) == list(range(*ragged.offsets[client : client + 2]))
        assert (np.diff(mask.ravel().astype(int)) <= 0).all()  # the padding is at the end


def measured(name, steps, **rest):
    return Measured(name, rest.pop("is_peer", False), steps=steps, clients=[s / 5 for s in steps], **rest)


def test_ratios_are_of_medians_to_the_best_peer_and_to_bare():
    rows = table.ratios(
        [
            measured("bare", [100.0, 90.0, 110.0]),
            measured("bare", [50.0], variant="8"),
            measured("pfljax", [80.0, 60.0, 95.0]),
            measured("fedjax", [10.0, 20.0, 30.0], is_peer=True),
            measured("pfl", [40.0, 40.0, 1.0], is_peer=True),
            measured("drjax", [500.0], is_peer=True, status="trains something else: off"),
            measured("flwr", [], is_peer=True, status="missing: no wheel"),
        ]
    )
    assert [row["to_bare"] for row in rows] == [1, 0.5, 0.8, 0.2, 0.4, None, None]
    assert [row["to_best_peer"] for row in rows] == [2.5, 1.25, 2, 0.5, 1, None, None]
    text = table.markdown(rows)
    assert text.index("| bare") < text.index("| pfljax") < text.index("| pfl |") < text.index("| fedjax")
    assert "| drjax" not in text
    assert "- drjax: trains something else: off\n- flwr: missing: no wheel" in text


def test_the_price_of_exact_maml_is_said():
    rows = table.ratios([measured("pfljax", [50.0]), measured("pfljax-first", [80.0])])
    assert "Exact MAML takes 1.60 times as long as first order" in table.markdown(rows)
    assert "Exact MAML" not in table.markdown(rows[:1])


def test_without_peers_there_are_no_ratios_to_them(tmp_path):
    rows = table.ratios([measured("pfljax", [80.0])])
    assert (rows[0]["to_best_peer"], rows[0]["to_bare"]) == (None, None)
    table.figure(rows, "alone", tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 0


def test_what_cannot_be_installed_is_missing_and_nobody_elses_concern(tmp_path, monkeypatch):
    monkeypatch.setattr(environments, "REQUIREMENTS", tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "flwr.txt").write_text(f"{tmp_path}/no-such-package\n")
    (row,) = race.race(TINY, ["flwr"], tmp_path, race.Plan(repeats=1))
    assert row["status"].startswith("missing: ERROR: Invalid requirement")
    log = Path(row["status"].partition("(log: ")[2].rstrip(")"))
    assert "no-such-package" in log.read_text()
    assert (row["to_best_peer"], row["steps"]) == (None, [])
    assert "missing: ERROR" in (tmp_path / "results.md").read_text()


def test_a_contestant_that_dies_says_its_last_words(tmp_path):
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho out of luck >&2\nexit 3\n")
    program.chmod(0o755)
    contestant = Contestant("bare", "", program, 1, tmp_path / "log")
    with pytest.raises(Failed, match=r"ended with code 3: out of luck \(log: .*log\)"):
        contestant.ask({"do": "run", "count": 1}, timeout=60)
    contestant.close()


def test_a_contestant_that_does_not_answer_is_ended(tmp_path):
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    contestant = Contestant("bare", "", program, 1, tmp_path / "log")
    with pytest.raises(Failed, match="no answer in time"):
        contestant.ask({"do": "run", "count": 1}, timeout=0.2)
    contestant.close()
    assert contestant._process.returncode == -9


@pytest.mark.slow
def test_bare_pfljax_and_vmap_race(tmp_path):
    plan = race.Plan(repeats=2, seconds=0.2)
    rows = race.race(TINY, ["bare", "pfljax", "vmap"], tmp_path, plan)
    timed = [row for row in rows if not row["status"]]
    assert {row["name"] for row in timed} == {"bare", "pfljax", "vmap"}
    assert {row["status"].partition(",")[0] for row in rows} <= {"", "its slower variant"}
    assert all(len(row["steps"]) == 2 and row["off"] < 1e-4 and row["peak_bytes"] > 2**26 for row in timed)
    assert {path.name for path in tmp_path.iterdir()} >= {"results.json", "results.md", "results.png", "bare-1.log"}
