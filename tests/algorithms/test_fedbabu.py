"""FedBABU: the head is nobody's to move, whatever the optimizers."""

import jax
import numpy as np
import optax
import pytest

import pfljax as pfl
from pfljax import local
from tests.support.runs import STRONG, bits, run, start

WORK = {"client_opt": optax.adamw(0.01, weight_decay=0.5), "epochs": 2, "batch": 4}


@pytest.mark.slow
def test_the_head_never_moves_and_all_of_it_is_finetuned(population, model):
    with jax.numpy_dtype_promotion("standard"):  # optax.adamw asks for it
        algorithm = pfl.algorithms.fedbabu(model, server_opt=STRONG, personal_opt=optax.sgd(0.1), **WORK)
        before, after = start(algorithm).params, run(algorithm, population)
        np.testing.assert_array_equal(bits(after.vars.params["head"]), bits(before["head"]))
        assert np.abs(bits(after.vars.params["body"]) - bits(before["body"])).max() > 1e-3
        assert not jax.tree.leaves(after.clients)
        own = after.personal(population.ids[0], steps=1).vars.params
    for part in ("body", "head"):
        assert not np.array_equal(bits(own[part]), bits(after.vars.params[part]))


def test_finetuning_the_head_alone(population, model):
    head = local.subset(optax.sgd(0.1), "head/*")
    result = run(pfl.algorithms.fedbabu(model, optax.sgd(0.1), personal_opt=head, epochs=1, batch=4), population)
    own = result.personal(population.ids[0], steps=2).vars.params
    np.testing.assert_array_equal(bits(own["body"]), bits(result.vars.params["body"]))
    assert not np.array_equal(bits(own["head"]), bits(result.vars.params["head"]))
