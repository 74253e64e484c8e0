"""The folder of checkpoints: what stays, what is refused, what is damaged, who is in it."""

import errno
import gc
import json
import os
import subprocess
import sys
from functools import partial

import jax
import numpy as np
import optax
import pytest

import pfljax as pfl
from pfljax import PflError, algorithms
from pfljax.checkpoints import Checkpoints
from pfljax.checkpoints.fingerprint import fingerprint
from pfljax.checkpoints.lock import NAME, locked
from pfljax.checkpoints.store import Store
from pfljax.engine import Snapshot
from pfljax.engine.shelf import Clients
from tests.checkpoints.test_resume_bits import MODEL, PEOPLE
from tests.support.refusal import refusal
from tests.support.runs import bits

ABOUT = {"algorithm": "a", "lr": 0.1}


def snapshot(round: int, losses: tuple[float, ...] = ()) -> Snapshot:
    """State of every kind: an optimizer's, typed keys, bools, nothing at all; three clients on two devices."""
    server = {
        "w": np.arange(6.0).reshape(1, 6) + round,
        "none": np.zeros((1, 0)),
        "key": jax.random.split(jax.random.key(7), 1),
    }
    opt_state = optax.sgd(0.1, momentum=0.9).init(server["w"])
    clients = Clients({"v": np.arange(8.0).reshape(4, 2) * round}, np.array([True, False, True, False]))
    records = [{"round": number, "loss": 1 / 3} for number in range(round)]
    for record, loss in zip(records, losses, strict=False):
        record["validation_loss"] = loss
    return Snapshot(round, (server, opt_state, ()), clients, tuple(records))


def shapes(rows: int = 4, is_host: bool = True) -> Snapshot:
    made = snapshot(1)
    shape = lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
    clients = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((rows, *leaf.shape[1:]), leaf.dtype), made.clients)
    return Snapshot(0, jax.tree.map(shape, made.servers), clients, ())


def opened(folder, about=ABOUT, **settings) -> Store:
    return Store(Checkpoints(folder, **settings), about)


def saved(folder, rounds, **settings) -> None:
    with opened(folder, **settings) as store:
        assert store.resume is None
        for done in rounds:
            store.save(snapshot(done))
            store.wait()


def restored(folder, rows: int = 4) -> Snapshot:
    with opened(folder) as store:
        assert store.resume is not None
        found = store.resume(shapes(rows))
        assert store.restored == found._replace(servers=(), clients=Clients((), ()))  # the run alone holds the arrays
        return found


def test_state_of_every_kind_comes_back(tmp_path):
    saved(tmp_path, [5])
    found, given = restored(tmp_path), snapshot(5)
    assert found.round == 5
    assert found.records == given.records
    assert jax.tree.structure(found) == jax.tree.structure(given)
    plain = lambda tree: jax.tree.map(
        lambda leaf: jax.random.key_data(leaf) if leaf.dtype.name == "key<fry>" else leaf, tree
    )
    for one, other in zip(jax.tree.leaves(plain(found[1:3])), jax.tree.leaves(plain(given[1:3])), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("rows", [3, 4, 6])
def test_the_client_axis_follows_the_devices(tmp_path, rows):
    saved(tmp_path, [2])
    found = restored(tmp_path, rows).clients
    assert found.kept["v"].shape == (rows, 2)
    np.testing.assert_array_equal(found.kept["v"][:3], np.arange(6.0).reshape(3, 2) * 2)
    assert found.kept["v"].flags.writeable


def test_the_newest_stay(tmp_path):
    saved(tmp_path, [1, 2, 3, 4, 5], keep=2)
    with opened(tmp_path, keep=2) as store:
        assert store.rounds == [4, 5]


def test_the_best_stays_too(tmp_path):
    losses = (3.0, 1.0, 2.0, 2.5, float("nan"))
    with opened(tmp_path, keep=2, best="loss") as store:
        for done in range(1, 6):
            record = {"round": done - 1, "validation_loss": losses[done - 1]}
            assert store.is_best(record) == (done <= 2)
            store.save(snapshot(done, losses))
            store.wait()
        assert store.rounds == [2, 4, 5]
    with opened(tmp_path, keep=2, best="loss") as store:  # and what is best is still known
        assert store.resume is not None
        store.resume(shapes())
        assert not store.is_best({"round": 5, "validation_loss": 1.5})
        store.save(snapshot(6, losses))
        store.wait()
        assert store.rounds == [2, 5, 6]


def test_another_run_is_refused_field_by_field(tmp_path):
    saved(tmp_path, [1])
    said = refusal(opened, tmp_path, {"algorithm": "b", "lr": 0.1, "steps": 3})
    assert "expected the run's algorithm 'a', got 'b'; steps nothing, got 3; give" in said
    with opened(tmp_path):  # the lock is not kept by what was refused
        pass


def test_another_state_is_refused(tmp_path):
    saved(tmp_path, [1])
    other = shapes()._replace(
        clients=Clients({"v": jax.ShapeDtypeStruct((4, 3), np.float64)}, shapes().clients.visited)
    )
    with opened(tmp_path) as store:
        assert store.resume is not None
        assert "clients/kept/v 'float64[client, 2]', got 'float64[client, 3]'" in refusal(store.resume, other)


# A restore that fails leaves orbax a coroutine that is closed after its event loop, now and then.
@pytest.mark.filterwarnings("ignore:Exception ignored.*:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("part", ["about/metadata", "arrays/manifest.ocdbt", "arrays/_METADATA"])
def test_a_damaged_checkpoint_is_put_aside_and_the_one_before_is_used(tmp_path, part):
    saved(tmp_path, [1, 2])
    (tmp_path / "2" / part).write_bytes(b"\0")
    with pytest.warns(UserWarning, match="the checkpoint after 2 rounds is damaged and now called damaged-2"):
        assert restored(tmp_path).round == 1
    assert (tmp_path / "damaged-2").is_dir()
    with opened(tmp_path) as store:
        store.save(snapshot(2))
        store.wait()
        assert store.rounds == [1, 2]
    gc.collect()  # that coroutine, before another test is blamed for it


def test_nothing_but_damage_is_not_a_new_run(tmp_path):
    saved(tmp_path, [1])
    (tmp_path / "1" / "about" / "metadata").write_text("{")
    with pytest.warns(UserWarning, match="damaged"):
        said = refusal(opened, tmp_path)
    assert "got only damaged ones" in said
    assert "got only damaged ones" in refusal(opened, tmp_path)


def test_what_was_not_completed_is_not_there(tmp_path):
    saved(tmp_path, [1, 2])
    (tmp_path / "2").rename(tmp_path / "2.orbax-checkpoint-tmp")
    assert restored(tmp_path).round == 1


def test_a_save_that_fails_is_an_error_and_the_one_before_is_complete(tmp_path):
    saved(tmp_path, [1])
    with opened(tmp_path, keep=1) as store:
        store._manager.save = full
        said = refusal(store.save, snapshot(2))
    assert "expected the checkpoint after 2 rounds to be written" in said
    assert "No space left on device" in said
    assert restored(tmp_path).round == 1


def full(*arguments, **named):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.slow
def test_a_disk_that_is_really_full(tmp_path):
    """On a file system of 200 kB, where this machine lets us make one: no older checkpoint is taken for a new one."""
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(tmp_path)], capture_output=True
    ).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        large = snapshot(2)._replace(servers=(*snapshot(2).servers[:2], np.random.default_rng(0).random(10**6)))
        saved(tmp_path, [1])
        with pytest.raises(PflError, match="those before are complete"), opened(tmp_path, keep=1) as store:  # noqa: PT012
            store.save(large)
            store.wait()
        assert restored(tmp_path).round == 1
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_one_run_at_a_time(tmp_path):
    with opened(tmp_path):
        said = refusal(opened, tmp_path)
        assert f"in use by process {os.getpid()} on " in said
        code = "from pathlib import Path; from pfljax.checkpoints.lock import locked\n"
        code += f"with locked(Path({str(tmp_path)!r}), '--out'): pass"
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert other.returncode == 1
        assert (
            f"--out: expected a folder that no other run is using, got '{tmp_path}', in use by process" in other.stderr
        )
    with locked(tmp_path, "x"):
        assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()
    assert (tmp_path / NAME).read_text() == ""


def test_folders_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("mine")
    assert "expected a folder that can be made" in refusal(opened, tmp_path / "file")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"folder": ""}, "folder: expected the name"),
        ({"every": -1}, "every: expected seconds"),
        ({"every": float("inf")}, "every: expected seconds"),
        ({"keep": 0}, "keep: expected a whole number of at least 1"),
        ({"best": 3}, "best: expected the name of a metric"),
    ],
)
def test_settings(change, said):
    assert said in refusal(partial(Checkpoints, **{"folder": "x"} | change))


def test_fingerprints_see_into_functions():
    def make(lr=0.1, norm=1.0, **work):
        algorithm = algorithms.scaffold(MODEL, optax.sgd(lr), **{"steps": 2, "batch": 4} | work)
        return fingerprint(algorithm, PEOPLE, {"upload": pfl.upload.clip(norm)})

    assert make() == make()
    for change in ({"lr": 0.2}, {"norm": 2.0}, {"steps": 3}, {"batch": 5}):
        assert make(**change) != make()


@pytest.mark.slow
def test_simulate_goes_on_and_keeps_the_figures(tmp_path):
    algorithm = algorithms.fedavg(MODEL, optax.sgd(0.1), steps=2, batch=4)
    run = partial(pfl.simulate, algorithm, PEOPLE, cohort=4, devices=2, width=1, block=1, eval_every=2)
    whole = run(rounds=4)
    run(rounds=2, checkpoints=Checkpoints(tmp_path, every=0, best="loss"))
    again = run(rounds=4, checkpoints=Checkpoints(tmp_path, every=0, best="loss"))
    np.testing.assert_array_equal(bits(again.server), bits(whole.server))
    timeless = lambda result: [{**each, "clients_per_second": 0} for each in result.records]
    assert timeless(again) == timeless(whole)
    assert "validation_loss" in again.records[1]
    said = refusal(run, rounds=4, unseen=0.3, checkpoints=Checkpoints(tmp_path, best="loss"))
    assert "expected the run's unseen 0.2, got 0.3" in said
    assert "expected at least the 4" in refusal(run, rounds=3, checkpoints=Checkpoints(tmp_path, best="loss"))


def test_simulate_refuses(tmp_path):
    algorithm = algorithms.fedavg(MODEL, optax.sgd(0.1), steps=2, batch=4)
    run = partial(pfl.simulate, algorithm, PEOPLE, cohort=4, rounds=2)
    assert "expected a single run" in refusal(run, seeds=[0, 1], checkpoints=Checkpoints(tmp_path))
    assert "expected eval_every beside it" in refusal(run, checkpoints=Checkpoints(tmp_path, best="loss"))
    assert "got 'los'" in refusal(run, eval_every=1, checkpoints=Checkpoints(tmp_path, best="los"))


def test_a_save_that_fails_when_all_is_over(tmp_path):
    """It is what ended the run, unless something else did: then it is a note to that."""

    def full():
        raise OSError(28, "No space left on device")

    def ended(problem: Exception | None) -> None:
        with opened(tmp_path) as store:
            store._held.callback(full)
            if problem is not None:
                raise problem

    with pytest.raises(PflError, match=r"expected the last checkpoint to be written .* make room"):
        ended(None)
    with pytest.raises(KeyError) as raised:
        ended(KeyError("another"))
    assert "make room" in raised.value.__notes__[0]
