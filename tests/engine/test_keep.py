"""Client state that lives on the host trains bit for bit as state on the devices does, and is refused in time."""

import jax
import numpy as np
import pytest

import pfljax as pfl
from pfljax.engine import job, keep, ready, width
from pfljax.engine.memory import num_bytes
from tests.support.zoo import ALGORITHMS, people, tiny_model

ARGUMENTS = {"cohort": 4, "rounds": 5, "seed": 2}


@pytest.fixture(scope="module")
def population():
    return people()


@pytest.fixture(scope="module")
def ditto(population):
    return ALGORITHMS["ditto"](tiny_model(population))


def bits(result) -> list[np.ndarray]:
    """The server's and the real clients' numbers; devices pad theirs."""
    own = jax.tree.map(lambda leaf: leaf[: len(result.ids)], tuple(result.clients))
    return [np.asarray(leaf) for leaf in jax.tree.leaves((result.server, own))]


@pytest.mark.parametrize(("devices", "block"), [(1, 5), (2, 2), (8, 3)])
def test_the_same_bits_as_on_the_devices(population, ditto, devices, block):
    run = lambda state: pfl.simulate(ditto, population, devices=devices, block=block, state=state, **ARGUMENTS)
    for home, away in zip(bits(run("host")), bits(run("device")), strict=True):
        np.testing.assert_array_equal(home, away)


def test_a_sweep_keeps_every_runs_state(population, ditto):
    run = lambda state: pfl.simulate(
        ditto, population, cohort=3, rounds=3, seeds=(0, 1), hyper={"lam": (0.1, 2.0)}, devices=2, block=2, state=state
    )
    for home, away in zip(run("host"), run("device"), strict=True):
        for a, b in zip(bits(home), bits(away), strict=True):
            np.testing.assert_array_equal(a, b)


def test_only_a_blocks_clients_are_on_the_devices(population, ditto, monkeypatch):
    monkeypatch.setattr(ready, "LENT_BYTES", 1)  # room for one round's clients: blocks shrink to single rounds
    made = pfl.engine.prepare(ditto, population, cohort=4, devices=1, state="host")
    assert made.num_kept == 4
    assert made.job.clients(made.num_kept).visited.shape == (4,)
    blocks = list(pfl.rounds(ditto, population, devices=1, block=5, state="host", **ARGUMENTS))
    assert max(block.num_rounds for block in blocks) == 1
    whole = pfl.simulate(ditto, population, devices=1, state="device", **ARGUMENTS)
    for a, b in zip(bits(blocks[-1].result()), bits(whole), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_blocks_result_is_a_copy(population, ditto):
    blocks = pfl.rounds(ditto, population, devices=1, block=1, state="host", **ARGUMENTS)
    early = next(blocks).result()
    before = [leaf.copy() for leaf in bits(early)]
    for _ in blocks:
        pass
    for a, b in zip(bits(early), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_evaluation_and_single_clients_read_it(population, ditto):
    run = lambda state: pfl.simulate(ditto, population, devices=2, state=state, **ARGUMENTS)
    home, away = run("host"), run("device")
    for name in population.ids[:3]:
        a, b = (result.personal(name, steps=1).vars.params for result in (home, away))
        jax.tree.map(np.testing.assert_array_equal, a, b)
    curve = pfl.evaluate.__globals__["curve"]
    np.testing.assert_array_equal(curve(home, population, (0, 1)).at(1), curve(away, population, (0, 1)).at(1))


def test_auto_takes_the_host_for_what_is_too_large(population, ditto, monkeypatch):
    asked = job.make_job(ditto, population, cohort=4, seeds=[0], devices=1)
    assert asked.state == "device"
    monkeypatch.setattr(job, "free_bytes", lambda mesh, memory: 1000)
    assert job._at_home(asked, "auto") == "host"
    assert job._at_home(asked, "device") == "device"  # which is refused with the number when it begins


def test_auto_weighs_the_free_rows_of_a_round_too(population, ditto, monkeypatch):
    """Ten clients and four free rows: half of the memory holds the clients, and not all rows."""
    asked = job.make_job(ditto, population, cohort=4, seeds=[0], devices=1)
    clients, rows = num_bytes(asked.clients(10)), num_bytes(asked.shapes(10, 4).shelf)
    for free, where in ((2 * rows, "device"), (2 * rows - 2, "host"), (2 * clients, "host")):
        monkeypatch.setattr(job, "free_bytes", lambda mesh, memory, free=free: free)
        assert job._at_home(asked, "auto") == where


def test_a_larger_program_takes_the_place_of_the_one_before(population, ditto, monkeypatch):
    """What that holds counts as free."""
    made = pfl.engine.prepare(ditto, population, cohort=4, devices=1, width=1)
    monkeypatch.setattr(width, "free_bytes", lambda mesh, memory: 10)
    assert width.refusal(made) is not None
    assert width.refusal(made, made.device_bytes - 10) is None
    assert width.refusal(made, made.device_bytes - 11) is not None


def test_a_method_that_keeps_nothing_has_no_state_to_move(population):
    fedavg = ALGORITHMS["fedavg"](tiny_model(population))
    made = pfl.engine.prepare(fedavg, population, cohort=4, devices=1, state="host")
    assert made.job.state == "device"


def test_too_much_for_the_host_is_refused_with_the_number(population, ditto, monkeypatch):
    monkeypatch.setattr(keep, "host_free_bytes", lambda: 100)
    with pytest.raises(
        pfl.PflError, match=r"state: expected the kept state of 10 clients to fit into 100 B .* got 1.7 KiB"
    ):
        pfl.simulate(ditto, population, devices=1, state="host", **ARGUMENTS)


def test_unknown_places(population, ditto):
    with pytest.raises(pfl.PflError, match="state: expected one of 'auto', 'device', 'host', got 'disk'"):
        pfl.simulate(ditto, population, state="disk", **ARGUMENTS)


def test_a_stateless_ditto_is_a_first_round_every_time(population, ditto):
    forgetful = pfl.local.stateless(ditto)
    kept = pfl.simulate(ditto, population, devices=1, **ARGUMENTS)
    none = pfl.simulate(forgetful, population, devices=1, **ARGUMENTS)
    assert none.clients.kept == ()
    jax.tree.map(np.testing.assert_array_equal, none.vars, kept.vars)
    # In the first round nobody has anything to forget.
    first = [pfl.simulate(each, population, devices=1, cohort=4, rounds=1, seed=2) for each in (ditto, forgetful)]
    assert first[0].records[0]["personal_loss"] == first[1].records[0]["personal_loss"]
    assert kept.records[-1]["personal_loss"] != none.records[-1]["personal_loss"]
    with pytest.raises(pfl.PflError, match="mime: expected a method of one pass, got 2"):
        pfl.local.stateless(ALGORITHMS["mime"](tiny_model(population)))
