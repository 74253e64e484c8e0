"""LoRA: begins as the base model, changes kernels by matrices of low rank, and leaves a frozen base alone."""

import jax
import numpy as np
import optax
import pytest

import pfljax as pfl
from pfljax.models.lora import with_adapters, wrapped
from tests.support.runs import STRONG, bits, run
from tests.support.zoo import batch_norm_model

WORK = {"client_opt": optax.sgd(0.3), "epochs": 2, "batch": 4}
RANK = 2


@pytest.fixture(scope="module")
def model(population):
    return pfl.models.mlp(population, (6,))


@pytest.fixture(scope="module")
def trained(population, model):
    return run(pfl.algorithms.fedavg(model, **WORK), population).vars


def outputs(model, vars, population):
    batch = population.client(population.ids[3]) | {"mask": np.ones(population.sizes()[3], bool)}
    return np.asarray(jax.jit(lambda v: model.apply(v, batch, jax.random.key(0), False)[0])(vars))


def test_it_starts_as_the_base_model(population, model):
    key = jax.random.key(3)
    base, adapted = model.init(key), with_adapters(model, RANK)
    vars = adapted.init(key)
    np.testing.assert_array_equal(bits(vars.params["base"]), bits(base.params))
    np.testing.assert_array_equal(outputs(adapted, vars, population), outputs(model, base, population))
    shapes = jax.tree.map(np.shape, vars.params["adapter"])
    assert shapes == {
        "body.0.kernel": {"a": (3, RANK), "b": (RANK, 6)},
        "head.kernel": {"a": (6, RANK), "b": (RANK, 4)},
    }


@pytest.fixture(scope="module")
def warm(population, model, trained):
    """Adapters alone, on a trained base, with a server optimizer that moves whatever it is given."""
    algorithm = pfl.algorithms.lora(model, rank=RANK, frozen="base/*", server_opt=STRONG, **WORK)
    return run(algorithm, population, params=wrapped(trained, RANK))


def test_a_frozen_base_rests_and_others_start_from_it(population, model, trained, warm):
    np.testing.assert_array_equal(bits(warm.vars.params["base"]), bits(trained.params))
    visited = np.asarray(warm.clients.visited)
    assert not visited[: len(warm.seen)][~warm.seen].any()
    theirs = outputs(model, trained, population)
    for row, name in enumerate(population.ids):
        own = outputs(warm.algorithm.model, warm.personal(name).vars, population)
        assert np.array_equal(own, theirs) != visited[row]


def test_a_clients_change_has_the_rank(population, warm):
    row = np.flatnonzero(np.asarray(warm.clients.visited))[0]
    adapter = warm.personal(population.ids[row]).vars.params["adapter"]
    for each in adapter.values():
        values = np.linalg.svd(np.asarray(each["a"]) @ np.asarray(each["b"]), compute_uv=False)
        assert values[0] > 1e-3
        assert (values[RANK:] < 1e-6 * values[0]).all()


def test_a_shared_on_a_fixed_base(population, model, trained):
    """Clients keep B alone; A is averaged."""
    algorithm = pfl.algorithms.lora(
        model, rank=RANK, shared="!adapter/*/b", frozen="base/*", server_opt=STRONG, **WORK
    )  # fmt: skip
    start = wrapped(trained, RANK)
    result = run(algorithm, population, params=start)
    np.testing.assert_array_equal(bits(result.vars.params["base"]), bits(trained.params))
    kept = jax.tree_util.tree_flatten_with_path(result.clients.kept)[0]
    assert sorted(jax.tree_util.keystr(path)[-5:] for path, _ in kept) == ["['b']"] * 2
    for name, each in result.vars.params["adapter"].items():
        assert np.abs(np.asarray(each["a"]) - np.asarray(start.params["adapter"][name]["a"])).max() > 1e-4
        assert not np.asarray(each["b"]).any()


@pytest.mark.slow
def test_statistics_belong_to_the_base(population):
    algorithm = pfl.algorithms.lora(batch_norm_model(population), rank=1, **WORK)
    result = run(algorithm, population, rounds=1)
    assert not jax.tree.leaves(result.clients.kept.stats)
    before = result.algorithm.model.init(jax.random.key(0)).stats
    assert np.abs(bits(result.vars.stats) - bits(before)).max() > 1e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frozen": "bsae/*"}, "pattern 'bsae/*': expected it to match a parameter, got none of adapter/"),
        ({"kernels": "*kernal"}, "pattern '*kernal': expected it to match a parameter, got none of body/0/bias"),
        ({"kernels": "*"}, "kernels '*': expected matrices, got body/0/bias of shape (6,); use a narrower pattern"),
        ({"shared": "bsae/*"}, "pattern 'bsae/*': expected it to match some parameters, got none of"),
        ({"rank": 0}, "rank: expected a whole number of at least 1, got 0"),
    ],
)
def test_bad_arguments(population, model, arguments, message):
    with pytest.raises(pfl.PflError) as error:
        run(pfl.algorithms.lora(model, **arguments), population)
    assert message in str(error.value)
