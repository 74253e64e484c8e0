"""What every algorithm must keep to, built from the table of all of them."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pfljax as pfl
from pfljax.engine import reference
from pfljax.types import Model, Sent
from tests.support.zoo import ALGORITHMS, EVERY, REPRESENTATIVES, tiny_model

COHORT = 4
# Traces of the loss in a whole run, for each place where it stands in the algorithm: a round is traced for its
# shapes and for the program, and each of the two traces a client for its shapes and for the loop.
LOSS_TRACES = 4


def counting(model: Model, counter: list) -> Model:
    def loss(outputs, batch):
        counter.append(1)
        return model.loss(outputs, batch)

    return model._replace(loss=loss)


# How often the loss stands in the algorithm's client; once, if it is not here.
PLACES = {
    "fedavg_all_rows": 2, "ditto": 2, "maml_exact": 2, "maml_first": 2, "maml_hessian_free": 4, "anil": 2,
}  # fmt: skip


def run(algorithm, population, rounds=2, **arguments):
    return pfl.simulate(algorithm, population, cohort=COHORT, rounds=rounds, seed=5, devices=2, **arguments)


@pytest.mark.parametrize("name", EVERY)
def test_contract(name, population):
    counter: list = []
    algorithm = ALGORITHMS[name](counting(tiny_model(population), counter))
    first = run(algorithm, population)
    traced = len(counter)
    if name in REPRESENTATIVES:
        assert traced == LOSS_TRACES * PLACES.get(name, 1)

    # The second call traces and compiles nothing, and gives the same bits.
    compiled: list = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, _, **kw: compiled.append(event) if "backend_compile" in event else None
    )
    second = run(algorithm, population, rounds=3)
    assert len(counter) == traced
    assert not compiled

    # A round changes no type, shape or sharding of the state.
    for before, after in ((first.server, second.server), (first.clients, second.clients)):
        chex.assert_trees_all_equal_shapes_and_dtypes(before, after)
        jax.tree.map(lambda a, b: chex.assert_equal(a.sharding, b.sharding), before, after)
    assert [r["loss"] for r in first.records] == [r["loss"] for r in second.records[:2]]
    assert all(np.isfinite(record["loss"]) for record in second.records)

    # start and step keep one type, also for a client that never took part, and what they give predicts.
    curve = pfl.evaluate.__globals__["curve"](first, population, (0, 2))
    for split in ("validation", "test"):
        assert curve.values[split]["accuracy"].shape == (2, population.num_clients)
    assert np.isfinite(curve.at(1)).all()
    assert isinstance(algorithm.send(first.server, jnp.int32(0)), Sent)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ALGORITHMS if name not in REPRESENTATIVES])  # those: test_layout
def test_any_layout_gives_what_the_reference_gives(name, population):
    algorithm = ALGORITHMS[name](tiny_model(population))
    arguments = {"cohort": 5, "rounds": 3, "seed": 3}
    server, kept, _ = reference.simulate(algorithm, population, **arguments)
    for devices, width in ((1, 1), (2, 3)):
        result = pfl.simulate(algorithm, population, devices=devices, width=width, block=2, **arguments)
        for a, b in zip(jax.tree.leaves(result.server), jax.tree.leaves(server), strict=True):
            np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-4, atol=1e-5)
        for row, state in kept.items():
            mine = jax.tree.map(lambda leaf, row=row: np.asarray(leaf[row]), result.clients.kept)
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, np.asarray(b), rtol=1e-4, atol=1e-5), mine, state)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*REPRESENTATIVES, "scaffold", "ifca", "pfedhn", "fedrep", "apfl"])
def test_jit_is_no_jit(name, population):
    """The reference, run op by op without any compilation, gives what the compiled engine gives."""
    algorithm = ALGORITHMS[name](tiny_model(population))
    compiled = pfl.simulate(algorithm, population, cohort=2, rounds=1, seed=5, devices=1)
    with jax.disable_jit():
        server, *_ = reference.simulate(algorithm, population, cohort=2, rounds=1, seed=5)
    for a, b in zip(jax.tree.leaves(compiled.server), jax.tree.leaves(server), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["ditto", "maml_exact"])
def test_hyper_parameters_are_traced(name, population):
    """Another lambda or inner rate runs in the compiled program."""
    algorithm = ALGORITHMS[name](tiny_model(population))
    first = run(algorithm, population)
    compiled: list = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, _, **kw: compiled.append(event) if "backend_compile" in event else None
    )
    other = algorithm._replace(hyper={key: 2 * value for key, value in algorithm.hyper.items()})
    second = run(other, population)
    assert not compiled
    leaves = lambda result: np.concatenate([np.ravel(x) for x in jax.tree.leaves((result.server, result.clients))])
    assert not np.array_equal(leaves(first), leaves(second))
