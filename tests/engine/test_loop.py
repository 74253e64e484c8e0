"""The round loop: bad input, divergence, empty rounds, blocks, donation, starting points."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import pfljax as pfl
from pfljax.plan import hold_out
from pfljax.types import Mean
from tests.support.zoo import ALGORITHMS, people, tiny_model

ARGUMENTS = {"cohort": 4, "rounds": 5, "seed": 0, "devices": 2}


@pytest.fixture(scope="module")
def population():
    return people()


@pytest.fixture(scope="module")
def algorithm(population):
    return ALGORITHMS["fedavg"](tiny_model(population))


@pytest.fixture(scope="module")
def ditto(population):
    return ALGORITHMS["ditto"](tiny_model(population))


@pytest.fixture(scope="module")
def overflowing(population):
    """A server's step beyond what float32 holds."""
    return pfl.algorithms.fedavg(tiny_model(population), optax.sgd(0.1), optax.sgd(1e38), steps=1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rounds": 0}, ("rounds", "at least 1", "0")),
        ({"rounds": 2.5}, ("rounds", "whole number", "2.5")),
        ({"cohort": "4"}, ("cohort", "whole number", "'4'")),
        ({"width": True}, ("width", "whole number", "True")),
        ({"seed": -1}, ("seed", "-1")),
        ({"cohort": 0}, ("cohort", "at least 1", "0")),
        ({"cohort": 9}, ("cohort", "8 seen clients", "9")),
        ({"unseen": 1.0}, ("unseen", "1.0")),
        ({"devices": 9}, ("devices", "between 1 and 8", "9", "use_cores")),
        ({"width": 0}, ("width", "0")),
        ({"block": "all"}, ("block", "all")),
        ({"on_nonfinite": "ignore"}, ("on_nonfinite", "ignore")),
        ({"params": {"w": jnp.zeros(3)}}, ("params", "body/0/bias", "nothing")),
    ],
)
def test_bad_arguments(population, algorithm, change, words):
    with pytest.raises(pfl.PflError) as error:
        pfl.simulate(algorithm, population, **ARGUMENTS | change)
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def poisoned(population, client_id):
    """`population` with one client whose rows are so large that its loss overflows."""
    x = population.arrays["x"].copy()
    row = population.row(client_id)
    x[population.offsets[row] : population.offsets[row + 1]] = 3e38
    arrays = dict(population.arrays) | {"x": x}
    return pfl.data.Population(arrays, population.offsets, population.bounds, population.ids, about=population.about)


@pytest.mark.parametrize("block", [1, 5])
def test_a_non_finite_update_stops_the_run(population, ditto, block):
    """It names the round and the client, moves nothing in or after that round, and keeps the records before."""
    good = pfl.simulate(ditto, population, **ARGUMENTS)
    first, bad = _first_time(ditto, population)
    assert first >= 1
    blocks: list = []
    with pytest.raises(pfl.Diverged) as error:
        blocks.extend(pfl.rounds(ditto, poisoned(population, bad), block=block, **ARGUMENTS))
    assert error.value.round == first
    assert error.value.client_ids == (bad,)
    assert f"round {first}" in str(error.value)
    assert bad in str(error.value)
    assert sum(made.num_rounds for made in blocks) == first == len(error.value.result.records)
    before = pfl.simulate(ditto, population, **ARGUMENTS | {"rounds": first})
    for a, b in zip(jax.tree.leaves(error.value.result.server), jax.tree.leaves(before.server), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
    assert [r["loss"] for r in error.value.result.records] == [r["loss"] for r in good.records[:first]]


def _first_time(algorithm, population):
    """(round, id) of the client whose first participation comes latest."""
    first = {}
    for made in pfl.rounds(algorithm, population, **ARGUMENTS):
        for index, rows in enumerate(made.rows):
            for row in rows:
                first.setdefault(int(row), made.first_round + index)
    row = max(first, key=lambda row: first[row])
    return first[row], population.ids[row]


def test_a_non_finite_update_can_be_dropped(population, ditto):
    """The others' mean goes on, the dropped client is named, its state and the server stay finite."""
    first, bad = _first_time(ditto, population)
    result = pfl.simulate(ditto, poisoned(population, bad), on_nonfinite="drop", **ARGUMENTS)
    assert result.records[first]["dropped"] == [bad]
    assert result.records[first]["clients"] == ARGUMENTS["cohort"] - 1
    assert all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves((result.server, result.clients)))
    assert not bool(result.clients.visited[population.row(bad)])
    assert all(np.isfinite(record["loss"]) for record in result.records)


def broken(algorithm, change):
    """The method, whose clients change their upload in round 1: (upload) -> upload."""
    ((train, server),) = algorithm.passes

    def client(key, sent, mine, shard):
        upload, mine, info = train(key, sent, mine, shard)
        late = lambda a, b: jnp.where((sent.round == 1) & (shard.row % 2 == 0), a, b)
        return jax.tree.map(late, change(upload), upload), mine, info

    return algorithm._replace(passes=((client, server),))


def not_finite(tree):
    return jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.nan), tree)


def test_what_a_value_is_finite_with_is_looked_at(population, algorithm):
    """Whoever has it not finite is dropped, although the value is."""
    method = broken(algorithm, lambda upload: upload._replace(finite_if=not_finite(upload.finite_if)))
    result = pfl.simulate(method, population, on_nonfinite="drop", **ARGUMENTS)
    dropped = [record["dropped"] for record in result.records]
    assert dropped[1]
    assert all(population.row(name) % 2 == 0 for name in dropped[1])
    assert not any(dropped[:1] + dropped[2:])


@pytest.mark.parametrize("on_nonfinite", ["stop", "drop"])
def test_a_value_that_is_looked_at_elsewhere_still_cannot_move_the_server(population, algorithm, on_nonfinite):
    """A method that spoils the value behind what it says to look at stops the run: no client is named."""
    method = broken(algorithm, lambda upload: upload._replace(value=not_finite(upload.value)))
    with pytest.raises(pfl.Diverged, match="the server's own step") as error:
        pfl.simulate(method, population, on_nonfinite=on_nonfinite, **ARGUMENTS)
    assert (error.value.round, error.value.client_ids) == (1, ())
    assert np.isfinite(np.asarray(jax.tree.leaves(error.value.result.vars)[0])).all()


@pytest.mark.parametrize("on_nonfinite", ["stop", "drop"])
def test_a_server_step_that_overflows_stops_the_run(population, overflowing, on_nonfinite):
    """No client is to blame; the result is the state before the step, also in the last round."""
    with pytest.raises(pfl.Diverged, match="the server's own step") as error:
        pfl.simulate(overflowing, population, on_nonfinite=on_nonfinite, **ARGUMENTS | {"rounds": 1})
    assert error.value.client_ids == ()
    assert np.isfinite(np.asarray(jax.tree.leaves(error.value.result.vars)[0])).all()


def test_dropped_clients_are_not_blamed_for_the_server(population, overflowing):
    """Where updates that are not finite are dropped, it is the server's step that stops the run."""
    everybody = {"cohort": 8, "rounds": 1, "devices": 2}
    bad = population.ids[int(np.flatnonzero(hold_out(population, 0.2, 0))[0])]
    with pytest.raises(pfl.Diverged, match="the server's own step") as error:
        pfl.simulate(overflowing, poisoned(population, bad), on_nonfinite="drop", **everybody)
    assert error.value.client_ids == ()


def test_two_passes_name_the_client_that_was_bad_in_the_first(population, algorithm):
    """Mime and its kin go over a cohort twice; a bad first pass must not blame everybody in the second."""
    _, bad = _first_time(algorithm, population)
    algorithm = algorithm._replace(passes=algorithm.passes * 2)
    spoilt = poisoned(population, bad)
    with pytest.raises(pfl.Diverged) as error:
        pfl.simulate(algorithm, spoilt, **ARGUMENTS)
    assert error.value.client_ids == (bad,)
    dropped = pfl.simulate(algorithm, spoilt, on_nonfinite="drop", **ARGUMENTS)
    assert [bad] in [record["dropped"] for record in dropped.records]
    assert all(record["clients"] >= 3 for record in dropped.records)


def test_info_names_that_records_need_are_refused(population):
    base = ALGORITHMS["fedavg"](tiny_model(population))
    ((train, server),) = base.passes
    client = lambda *arguments: (*train(*arguments)[:2], {"finite": jnp.float32(1)})
    with pytest.raises(pfl.PflError, match=r"info: expected other names.*finite"):
        pfl.simulate(base._replace(passes=((client, server),)), population, **ARGUMENTS)


def test_half_precision_and_integer_statistics(population):
    """float16 parameters with a norm beyond float16's range are finite; counters stay integers."""
    model = tiny_model(population)

    def init(key):
        vars = model.init(key)
        params = jax.tree.map(lambda leaf: (leaf * 0 + 30).astype(jnp.float16), vars.params)
        return vars._replace(params=params, stats={"rest": vars.stats, "count": jnp.int32(7)})

    def apply(vars, batch, key, train):
        params = jax.tree.map(lambda leaf: leaf.astype(jnp.float32) * 0.01, vars.params)
        outputs, _ = model.apply(vars._replace(params=params, stats=vars.stats["rest"]), batch, key, train)
        return outputs, vars.stats | {"count": vars.stats["count"] + jnp.int32(train)}

    heavy = model._replace(init=init, apply=apply)
    for batch in (4, None):
        algorithm = pfl.algorithms.ditto(heavy, optax.sgd(0.01), steps=1, batch=batch)
        result = pfl.simulate(algorithm, population, **ARGUMENTS | {"rounds": 2})
        assert result.vars.stats["count"].dtype == jnp.int32
        assert int(result.vars.stats["count"]) == 9
        assert all(leaf.dtype == jnp.float16 for leaf in jax.tree.leaves(result.vars.params))


def test_an_empty_round_moves_nothing(population):
    """When every update is dropped, the server's Adam moments stay where they are too."""
    model = tiny_model(population)
    base = pfl.algorithms.fedavg(model, optax.sgd(0.1), optax.adam(0.1), steps=1, batch=4)
    ((train, server),) = base.passes

    def client(key, sent, mine, shard):
        upload, mine, info = train(key, sent, mine, shard)
        broken = jax.tree.map(lambda x: x * jnp.nan, upload.value)
        late = lambda a, b: jnp.where(sent.round >= 2, a, b)
        return Mean(jax.tree.map(late, broken, upload.value), upload.weight), mine, info

    algorithm = base._replace(passes=((client, server),))
    arguments = ARGUMENTS | {"on_nonfinite": "drop"}
    with jax.numpy_dtype_promotion("standard"):  # optax.adam raises a float to an integer power
        two, five = (pfl.simulate(algorithm, population, **arguments | {"rounds": n}) for n in (2, 5))
    for a, b in zip(jax.tree.leaves(two.server), jax.tree.leaves(five.server), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
    assert [record["clients"] for record in five.records] == [4, 4, 0, 0, 0]


def test_blocks_tell_who_trained(population, algorithm):
    blocks = list(pfl.rounds(algorithm, population, block=2, **ARGUMENTS))
    assert [(made.first_round, made.num_rounds) for made in blocks] == [(0, 2), (2, 2), (4, 1)]
    rows = np.concatenate([made.rows for made in blocks])
    assert rows.shape == (5, 4)
    assert all(len(set(cohort)) == 4 for cohort in rows)
    result = blocks[-1].result()
    assert result.seen[rows].all()
    assert blocks[0].compile_seconds > 0
    assert blocks[1].compile_seconds == 0


def test_a_block_is_asked_in_time(population, algorithm):
    """Its buffers are the next block's: asking late is an error that says so, never old or wrong numbers."""
    blocks = pfl.rounds(algorithm, population, block=1, **ARGUMENTS)
    first = next(blocks)
    kept = first.result()
    next(blocks)
    with pytest.raises(pfl.PflError, match="before the next block"):
        first.result()
    assert np.isfinite(np.asarray(jax.tree.leaves(kept.server)[0])).all()


def test_start_from_params(population, algorithm):
    """A run from another's result goes on from its model; the caller's arrays survive donation."""
    first = pfl.simulate(algorithm, population, **ARGUMENTS)
    for start in (first.vars, first.vars.params):
        again = pfl.simulate(algorithm, population, params=start, **ARGUMENTS | {"rounds": 1})
        assert again.records[0]["loss"] < first.records[0]["loss"]
    assert np.isfinite(np.asarray(jax.tree.leaves(first.vars.params)[0])).all()


def test_seeds_are_apart(population, algorithm):
    def cohorts(seed):
        return [made.rows.tolist() for made in pfl.rounds(algorithm, population, block=5, **ARGUMENTS | {"seed": seed})]

    run = lambda seed: pfl.simulate(algorithm, population, **ARGUMENTS | {"seed": seed})
    base, model, sampling, split = (pfl.Seeds(), pfl.Seeds(model=1), pfl.Seeds(sampling=1), pfl.Seeds(split=3))
    assert cohorts(base) == cohorts(model) != cohorts(sampling)
    assert run(base).records[0]["loss"] != run(model).records[0]["loss"]
    assert (run(base).seen == run(sampling).seen).all()
    assert not (run(base).seen == run(split).seen).all()


def test_unseen_clients_never_train(population, algorithm):
    """Poison every unseen client: nothing changes."""
    clean = pfl.simulate(algorithm, population, **ARGUMENTS)
    spoilt = population
    for row in np.flatnonzero(~clean.seen):
        spoilt = poisoned(spoilt, population.ids[row])
    assert pfl.simulate(algorithm, spoilt, **ARGUMENTS).records[-1]["loss"] == clean.records[-1]["loss"]


def test_use_cores_refuses_when_devices_are_up():
    jax.devices()
    with pytest.raises(pfl.PflError, match="before JAX computes"):
        pfl.use_cores(4)
    with pytest.raises(pfl.PflError, match="at least 1"):
        pfl.use_cores(0)
