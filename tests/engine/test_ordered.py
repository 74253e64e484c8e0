"""reduction="ordered": the same bits on any number of devices, in any block, alone or in a sweep."""

import jax
import numpy as np
import optax
import pytest

import pfljax as pfl
from tests.support.zoo import ALGORITHMS, people, tiny_model

pytestmark = pytest.mark.usefixtures("as_shipped")
ARGUMENTS = {"cohort": 7, "rounds": 3, "unseen": 0.0}


@pytest.fixture(scope="module")
def population():
    return people()


@pytest.fixture(scope="module")
def fedavg(population):
    return ALGORITHMS["fedavg_momentum"](pfl.models.mlp(population, (16,)))


def bits(result) -> list[bytes]:
    num = result.population.num_clients
    state = [np.asarray(leaf)[:num] for leaf in jax.tree.leaves(result.clients)]
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(result.server)] + [leaf.tobytes() for leaf in state]


@pytest.mark.parametrize("width", [1, 2])
def test_any_number_of_devices_gives_the_same_bits(population, fedavg, width):
    run = lambda **change: pfl.simulate(
        fedavg, population, reduction="ordered", width=width, seed=4, **ARGUMENTS | change
    )
    expected = run(devices=1)
    for devices in (2, 4, 8):
        assert bits(run(devices=devices)) == bits(expected)
    assert bits(run(devices=2, block=1)) == bits(expected)
    records = [{k: v for k, v in r.items() if k != "clients_per_second"} for r in expected.records]
    again = [{k: v for k, v in r.items() if k != "clients_per_second"} for r in run(devices=4).records]
    assert again == records


def test_kept_state_has_the_same_bits(population):
    ditto = ALGORITHMS["ditto"](tiny_model(population))
    run = lambda devices: pfl.simulate(
        ditto, population, reduction="ordered", width=1, devices=devices, seed=2, **ARGUMENTS
    )
    assert bits(run(1)) == bits(run(4))


def test_floats_do_not_keep_their_bits(population, fedavg):
    """The control: with float sums, some number of devices differs from one."""
    run = lambda devices: pfl.simulate(fedavg, population, width=1, seed=4, devices=devices, **ARGUMENTS)
    expected = bits(run(1))
    assert any(bits(run(devices)) != expected for devices in (2, 4, 8))


def test_a_sum_out_of_range_stops_the_run(population):
    """A learning rate that throws weights beyond the fixed point's range, but not beyond a float's."""
    wild = pfl.algorithms.fedavg(tiny_model(population), optax.sgd(3e7), steps=1, batch=4)
    with pytest.raises(pfl.Diverged, match=r"sum over clients beyond 8388608.*reduction='fast'"):
        pfl.simulate(wild, population, reduction="ordered", **ARGUMENTS)
    assert pfl.simulate(wild, population, **ARGUMENTS | {"rounds": 1}).records[0]["clients"] == 7


def test_unknown_reductions_are_refused(population, fedavg):
    with pytest.raises(pfl.PflError, match="reduction: expected one of 'fast', 'ordered', got 'exact'"):
        pfl.simulate(fedavg, population, reduction="exact", **ARGUMENTS)
