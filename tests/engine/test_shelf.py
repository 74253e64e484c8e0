"""Kept state after rounds that turn out bad, and from pass to pass of one round."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pfljax as pfl
from tests.support.zoo import people, tiny_model

COHORT = 5


def counting(population, *renew, bad_round: int = -1):
    """FedAvg whose clients keep a number, from 0 on; each pass renews it. Uploads are NaN in the bad round."""
    base = pfl.algorithms.fedavg(tiny_model(population), epochs=1, batch=4)
    ((train, server),) = base.passes

    def of(renew):
        def client(key, sent, mine, shard):
            upload, _, info = train(key, sent, (), shard)
            broken = lambda leaf: jnp.where(sent.round == bad_round, jnp.asarray(jnp.nan, leaf.dtype), leaf)
            return jax.tree.map(broken, upload), renew(mine), info

        return client, server

    return base._replace(init_client=lambda key, sent: jnp.int32(0), passes=tuple(map(of, renew)))


@pytest.mark.parametrize("devices", [1, 2])
def test_a_bad_round_leaves_state_as_it_was(devices):
    population = people(num_clients=12)
    algorithm = counting(population, lambda mine: mine + 1, bad_round=2)
    with pytest.raises(pfl.engine.Diverged) as stopped:
        pfl.simulate(algorithm, population, cohort=COHORT, rounds=5, block=5, devices=devices, unseen=0.0)
    clients = stopped.value.result.clients
    assert int(np.asarray(clients.kept)[np.asarray(clients.visited)].sum()) == 2 * COHORT


@pytest.mark.parametrize("devices", [1, 2])
def test_a_pass_goes_on_from_the_pass_before(devices):
    population = people(num_clients=COHORT)
    algorithm = counting(population, lambda mine: mine + 1, lambda mine: 10 * mine)
    result = pfl.simulate(algorithm, population, cohort=COHORT, rounds=2, devices=devices, unseen=0.0)
    np.testing.assert_array_equal(np.asarray(result.clients.kept)[:COHORT], 110)
