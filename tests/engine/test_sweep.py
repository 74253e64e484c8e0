"""Several runs in one program: each is the run that it would be alone."""

import jax
import numpy as np
import optax
import pytest

import pfljax as pfl
from tests.support.zoo import ALGORITHMS, people, tiny_model

ARGUMENTS = {"cohort": 3, "rounds": 4, "devices": 2}


@pytest.fixture(scope="module")
def population():
    return people()


def same(one, other, tolerance: float) -> None:
    num = one.population.num_clients
    cut = lambda tree: jax.tree.map(lambda leaf: np.asarray(leaf)[:num], tree)
    for a, b in zip(
        jax.tree.leaves((one.server, cut(one.clients))),
        jax.tree.leaves((other.server, cut(other.clients))),
        strict=True,
    ):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("name", "width"),
    [
        ("fedavg", 1),
        ("ditto", 4),
        pytest.param("ditto", 1, marks=pytest.mark.slow),
        pytest.param("maml_exact", 4, marks=pytest.mark.slow),
    ],
)
def test_each_seed_is_the_run_alone(population, name, width):
    algorithm = ALGORITHMS[name](tiny_model(population))
    together = pfl.simulate(algorithm, population, seeds=range(3), width=width, eval_every=2, **ARGUMENTS)
    assert len(together) == 3
    for seed, found in enumerate(together):
        alone = pfl.simulate(algorithm, population, seed=seed, width=width, eval_every=2, **ARGUMENTS)
        same(found, alone, 2e-6)
        assert found.seeds == alone.seeds
        np.testing.assert_array_equal(found.seen, alone.seen)
        for ours, its in zip(found.records, alone.records, strict=True):
            assert ours.keys() == its.keys()
            assert ours["dropped"] == its["dropped"] == []
            for figure in set(ours) - {"dropped", "clients_per_second"}:
                assert ours[figure] == pytest.approx(its[figure], rel=1e-5)


def test_ordered_sums_make_it_the_same_bits(population):
    algorithm = ALGORITHMS["fedavg"](tiny_model(population))
    how = {"width": 1, "reduction": "ordered"} | ARGUMENTS
    for seed, found in enumerate(pfl.simulate(algorithm, population, seeds=range(4), **how)):
        same(found, pfl.simulate(algorithm, population, seed=seed, **how), 0.0)


def test_seeds_are_different_runs(population):
    algorithm = ALGORITHMS["fedavg"](tiny_model(population))
    first, other, again = pfl.simulate(algorithm, population, seeds=[0, 1, 0], **ARGUMENTS)
    same(first, again, 1e-6)
    assert first.records[0]["loss"] != other.records[0]["loss"]


def test_settings_times_seeds(population):
    algorithm = ALGORITHMS["ditto"](tiny_model(population))
    found = pfl.simulate(algorithm, population, seeds=[5, 6], hyper={"lam": [0.1, 4.0]}, **ARGUMENTS)
    assert [(each.algorithm.hyper["lam"], each.seeds.model) for each in found] == [
        (0.1, 5),
        (0.1, 6),
        (4.0, 5),
        (4.0, 6),
    ]
    alone = pfl.simulate(
        pfl.algorithms.ditto(algorithm.model, optax.sgd(0.1), epochs=1, batch=4, lam=4.0),
        population,
        seed=6,
        **ARGUMENTS,
    )
    same(found[3], alone, 2e-6)
    assert pfl.evaluate(found[3], population, (0, 2)).rows() == pfl.evaluate(alone, population, (0, 2)).rows()


def test_a_run_that_diverges_stops_alone(population):
    rate = lambda sent: optax.sgd(sent.hyper["lr"])
    algorithm = pfl.algorithms.fedavg(tiny_model(population), rate, hyper={"lr": 0.1}, epochs=1, batch=4)
    good, bad, fine = pfl.simulate(algorithm, population, seeds=[0], hyper={"lr": [0.1, 1e30, 0.2]}, **ARGUMENTS)
    assert [len(each.records) for each in (good, bad, fine)] == [4, 0, 4]
    assert good.diverged is fine.diverged is None
    assert "round 0: expected finite updates, got NaN or infinity from 3 clients" in bad.diverged
    assert all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves(bad.vars))
    same(good, pfl.simulate(algorithm, population, **ARGUMENTS), 1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seeds": []}, "seeds: expected at least one"),
        ({"seeds": [0, -1]}, "seed: expected whole numbers"),
        ({"seeds": [0], "seed": 1}, "either seed or seeds"),
        ({"hyper": {"lam": [1.0]}}, "hyper: expected seeds beside it"),
        ({"seeds": [0], "hyper": {"mu": [1.0]}}, "hyper: expected scalars of fedavg .none., got mu"),
        ({"seeds": [0], "cohort": 9}, "cohort: expected between 1 and the 8 seen clients"),
    ],
)
def test_bad_sweeps(population, change, words):
    with pytest.raises(pfl.PflError, match=words):
        pfl.simulate(ALGORITHMS["fedavg"](tiny_model(population)), population, **ARGUMENTS | change)


def test_settings_of_unequal_number_are_refused(population):
    algorithm = pfl.algorithms.fedavg(tiny_model(population), hyper={"a": 1.0, "b": 2.0})
    with pytest.raises(pfl.PflError, match="as many values of each scalar"):
        pfl.simulate(algorithm, population, seeds=[0], hyper={"a": [1.0, 2.0], "b": [1.0]}, **ARGUMENTS)
