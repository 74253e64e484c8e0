"""FedRoD: the generic model is FedAvg's on balanced softmax, as if there were no personal heads."""

import jax
import numpy as np
import optax
import pytest

import pfljax as pfl
from tests.support.runs import STRONG, bits, run, start
from tests.support.zoo import batch_norm_model, people

pytestmark = pytest.mark.usefixtures("as_shipped")
WORK = {"client_opt": optax.sgd(0.1, momentum=0.9), "epochs": 2, "batch": 4}


@pytest.fixture(scope="module")
def population():
    """The zoo's clients; each row holds the log of its client's class counts as well, -50 for no row."""
    made, clients = people(), {}
    for name in made.ids:
        whole = [made.client(name, split) for split in ("train", "validation", "test")]
        columns = {key: np.concatenate([part[key] for part in whole]) for key in whole[0]}
        counts = np.bincount(made.client(name)["y"], minlength=made.about.num_classes)
        log = np.where(counts > 0, np.log(np.maximum(counts, 1)), -50).astype(np.float32)
        clients[name] = columns | {"log": np.repeat(log[None], len(columns["y"]), axis=0)}
    bounds = pfl.data.Population.from_clients(clients, seed=None, about=made.about)
    np.testing.assert_array_equal(bounds.sizes(), made.sizes())
    return bounds


@pytest.fixture(scope="module")
def result(population, model):
    return run(pfl.algorithms.fedrod(model, **WORK), population)


def test_the_generic_model_is_fedavgs_on_balanced_softmax(population, model, result):
    assert any((np.bincount(population.client(name)["y"], minlength=4) == 0).any() for name in population.ids)
    balanced = model._replace(loss=lambda outputs, batch: model.loss(outputs + batch["log"], batch))
    fedavg = run(pfl.algorithms.fedavg(balanced, **WORK), population)
    np.testing.assert_allclose(bits(result.vars.params["generic"]), bits(fedavg.vars), rtol=0, atol=1e-6)
    plain = run(pfl.algorithms.fedavg(model, **WORK), population)
    assert np.abs(bits(plain.vars) - bits(fedavg.vars)).max() > 1e-3


def test_a_personal_head_that_does_not_learn_changes_nothing_generic(population, model, result):
    """The personal head held at zero: the generic model comes out bit for bit the same."""
    still = pfl.local.subset(WORK["client_opt"], "!personal/*")
    held = run(pfl.algorithms.fedrod(model, **(WORK | {"client_opt": still})), population)
    assert not bits(held.clients.kept).any()
    taken = np.flatnonzero(np.asarray(result.clients.visited))
    assert all(np.asarray(leaf)[taken].any() for leaf in jax.tree.leaves(result.clients.kept))
    np.testing.assert_array_equal(bits(result.vars.params["generic"]), bits(held.vars.params["generic"]))


def test_who_predicts_how(population, model, result):
    """The shared model and those who never trained predict by the generic model, the others by the sum."""
    batch = population.client(population.ids[0]) | {"mask": np.ones(population.sizes()[0], bool)}
    generic = result.vars._replace(params=result.vars.params["generic"])
    apply = jax.jit(lambda vars: model.apply(vars, batch, jax.random.key(0), False)[0])
    predict = jax.jit(lambda personal: result.algorithm.predict(personal, batch))
    visited = np.asarray(result.clients.visited)
    for row, name in enumerate(population.ids):
        own = result.personal(name)
        expected = np.asarray(apply(generic))
        head = own.vars.params["personal"]["head"]
        if visited[row]:
            expected = expected + np.asarray(apply(generic._replace(params=generic.params | {"head": head})))
        else:
            assert not bits(head).any()
        np.testing.assert_allclose(np.asarray(predict(own)), expected, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_statistics_are_shared(population):
    """Running statistics belong to the generic model: averaged, and no client's own."""
    algorithm = pfl.algorithms.fedrod(batch_norm_model(population), optax.sgd(0.1), STRONG, batch=8)
    before, after = start(algorithm), run(algorithm, population)
    assert np.abs(bits(after.vars.stats) - bits(before.stats)).max() > 1e-3
    assert not jax.tree.leaves(after.clients.kept.stats)
    assert not bits(after.vars.params["personal"]).any()


@pytest.mark.parametrize(("head", "got"), [("haed/*", "none of"), ("*/*", "all of")])
def test_a_head_that_is_none(population, model, head, got):
    with pytest.raises(pfl.PflError) as error:
        run(pfl.algorithms.fedrod(model, head=head), population)
    assert f"pattern '{head}': expected it to match some parameters, got {got} body/0/bias" in str(error.value)
