"""Uploads by slot and by client (`At`, `Each`): the reference's result in any layout."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import pfljax as pfl
from pfljax import upload
from pfljax.engine import reference
from pfljax.engine import round as engine_round
from pfljax.gate import hlo
from pfljax.types import At, Each, Mean, Sum
from tests.support.zoo import people, tiny_model

NUM, COHORT, ROUNDS = 3, 5, 3
ARGUMENTS = {"cohort": COHORT, "rounds": ROUNDS, "seed": 3, "upload": upload.clip(0.05)}


def fedavg(population):
    """On all rows; a client takes one step for each four rows that it has."""
    ragged = lambda counts: np.asarray(counts) // 4 + 1
    base = pfl.algorithms.fedavg(tiny_model(population), optax.sgd(0.1), steps=1, batch=None)
    return base._replace(steps=ragged, cost=ragged)


def slotted(base, *, each: bool = True):
    """FedAvg whose clients also tell their change by slot (their row modulo 3) and by themselves.

    The server moves by all of it, and keeps what it saw last in `extra`.
    """
    ((train, step),) = base.passes

    def client(key, sent, mine, shard):
        change, mine, info = train(key, sent, mine, shard)
        by_slot = At(jax.nn.one_hot(shard.row % NUM, NUM), (change, Sum(jnp.float32(1))))
        own = {"bias": change.value.params["head"]["bias"], "row": shard.row, "odd": shard.row % 2 == 1}
        return (change, by_slot, *([Each(own)] if each else [])), mine, info

    def init(key, vars, census, hyper):
        server = base.init(key, vars, census, hyper)
        slots = jax.tree.map(lambda leaf: jnp.zeros((NUM, *leaf.shape)), vars)
        own = {"bias": vars.params["head"]["bias"], "row": jnp.int32(0), "odd": jnp.bool_(False)}
        seen = (jax.tree.map(lambda leaf: jnp.zeros((COHORT, *leaf.shape), leaf.dtype), own), jnp.zeros(COHORT, int))
        return server._replace(extra=((slots, jnp.zeros(NUM)), (*seen, jnp.zeros(COHORT, bool)) if each else ()))

    def server(key, server, aggregate):
        change, (slots, counts), *own = aggregate.value
        nudge = jax.tree.map(lambda leaf: 0.1 * leaf.sum(axis=0), slots.params)
        if each:
            tilt = jnp.arange(1.0, COHORT + 1) @ own[0]["bias"]  # the order of clients matters
            nudge["head"]["bias"] = nudge["head"]["bias"] + 0.1 * tilt
        change = change._replace(params=jax.tree.map(jnp.add, change.params, nudge))
        moved, info = step(key, server, aggregate._replace(value=change))
        seen = (own[0], aggregate.rows, aggregate.mask) if each else ()
        return moved._replace(extra=((slots, counts), seen)), info

    send = lambda server, row: base.send(server._replace(extra=()), row)
    return base._replace(init=init, send=send, passes=((client, server),))


@pytest.fixture(scope="module")
def population():
    return people()


@pytest.fixture(scope="module")
def algorithm(population):
    return slotted(fedavg(population))


@pytest.fixture(scope="module")
def expected(population, algorithm):
    return reference.simulate(algorithm, population, **ARGUMENTS)[0]


def close(got, expected, tolerance=2e-6):
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=tolerance, atol=tolerance)


def same_bits(one, other) -> None:
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


SLOW = [pytest.param(*layout, marks=pytest.mark.slow) for layout in ((1, 1, 1), (2, 1, 3), (8, 2, 3), (8, 3, 1))]


@pytest.mark.parametrize(("devices", "width", "block"), [(1, 3, 3), (2, 2, 1), (8, 1, 3), *SLOW])
def test_every_layout_gives_the_reference(population, algorithm, expected, devices, width, block):
    """Most layouts have slots where nobody stands: 5 clients in 6 to 24 places."""
    how = {"devices": devices, "width": width, "block": block}
    *_, last = pfl.rounds(algorithm, population, **how, **ARGUMENTS)
    result = last.result()
    close(result.server, expected)
    (_, counts), (own, rows, mask) = result.server.extra
    np.testing.assert_array_equal(rows, np.sort(last.rows[-1]))
    assert counts.tolist() == np.bincount(np.asarray(rows) % NUM, minlength=NUM).tolist()
    np.testing.assert_array_equal(own["row"], rows)
    np.testing.assert_array_equal(own["odd"], np.asarray(rows) % 2 == 1)
    assert np.asarray(mask).all()


def test_each_seed_of_a_sweep_is_the_run_alone(population, algorithm):
    how = {"devices": 2, "width": 2}
    together = {name: value for name, value in ARGUMENTS.items() if name != "seed"}
    for seed, found in zip((3, 4), pfl.simulate(algorithm, population, seeds=[3, 4], **how, **together), strict=True):
        alone = pfl.simulate(algorithm, population, **how, **ARGUMENTS | {"seed": seed})
        close(found.server, alone.server)


@pytest.mark.slow
def test_ordered_sums_give_the_same_bits_by_slot(population, algorithm, expected):
    run = lambda devices: (
        pfl.simulate(algorithm, population, devices=devices, width=1, reduction="ordered", **ARGUMENTS).server
    )
    one = run(1)
    same_bits(run(8), one)
    close(one, expected, 1e-5)


@pytest.mark.slow
def test_streamed_examples_give_the_same_bits(population, algorithm):
    run = lambda examples: pfl.simulate(algorithm, population, devices=2, width=2, examples=examples, **ARGUMENTS)
    same_bits(run("streamed").server, run("resident").server)


@pytest.mark.parametrize("devices", [1, 2])
def test_dropped_clients_keep_their_place_and_leave_zeros(population, devices):
    """Two clients' first upload is NaN: the first pass masks them, and so does the second, where theirs is finite."""
    whole = slotted(fedavg(population))
    ((client, server),) = whole.passes
    sampler = pfl.plan.Sampler(np.arange(10), COHORT, 3)
    rows = np.sort(sampler.sample(0))
    broken = jnp.asarray(rows[[0, 3]], jnp.int32)

    def spoiled(key, sent, mine, shard):
        (change, *rest), mine, info = client(key, sent, mine, shard)
        spoil = lambda leaf: jnp.where(jnp.isin(shard.row, broken), jnp.nan, leaf)
        return (Mean(jax.tree.map(spoil, change.value), change.weight), *rest), mine, info

    init = lambda *arguments: (server := whole.init(*arguments))._replace(extra=(server.extra, server.extra))
    of = lambda server, index: server._replace(extra=server.extra[index])

    def first(key, both, aggregate):
        moved, info = server(key, of(both, 0), aggregate)
        return moved._replace(extra=(moved.extra, both.extra[1])), info

    def second(key, both, aggregate):
        moved, info = server(key, of(both, 1), aggregate)
        return moved._replace(extra=(both.extra[0], moved.extra)), info

    twice = whole._replace(init=init, passes=((spoiled, first), (client, second)))
    how = {"devices": devices, "width": 2, "on_nonfinite": "drop", "unseen": 0.0}
    result = pfl.simulate(twice, population, **how, **ARGUMENTS | {"rounds": 1, "upload": None})
    for (slots, counts), (own, found, mask) in result.server.extra:
        np.testing.assert_array_equal(found, rows)
        assert mask.tolist() == [False, True, True, False, True]
        assert own["row"].tolist() == [int(row) if counted else 0 for row, counted in zip(rows, mask, strict=True)]
        np.testing.assert_array_equal(np.abs(own["bias"]).max(axis=1) > 0, mask)
        assert counts.tolist() == np.bincount(rows[np.asarray(mask)] % NUM, minlength=NUM).tolist()
        assert all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves(slots))
    assert result.records[0]["dropped"] == [population.ids[row] for row in rows[[0, 3]]]


def test_only_individuals_are_gathered(population, algorithm):
    def opcodes(algorithm):
        program = pfl.engine.prepare(algorithm, population, cohort=COHORT, devices=2, width=1)
        module = hlo.parse(program.compiled.as_text())
        return hlo.histogram(module), hlo.collectives_deeper_than(module, 1)

    by_slot, deep = opcodes(slotted(fedavg(population), each=False))
    assert (by_slot["all-gather"], by_slot["all-reduce"], deep) == (0, 1, 0)
    by_client, deep = opcodes(algorithm)
    assert by_client["all-gather"] > 0
    assert (by_client["all-reduce"], deep) == (1, 0)


@pytest.mark.slow
def test_another_order_of_clients_would_be_seen(population, expected, monkeypatch):
    """The control: individuals in the order of lanes instead of rows."""
    real = engine_round.individuals

    def by_lane(each, slots, *rest):
        place = jnp.arange(slots.row.size, dtype=slots.row.dtype).reshape(slots.row.shape)
        return real(each, SimpleNamespace(row=place, run=slots.run, mask=slots.mask), *rest)

    monkeypatch.setattr(engine_round, "individuals", by_lane)
    result = pfl.simulate(slotted(fedavg(population)), population, devices=1, width=1, **ARGUMENTS)
    with pytest.raises(AssertionError):
        close(result.vars, expected.vars, 1e-4)
