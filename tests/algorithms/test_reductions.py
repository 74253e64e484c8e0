"""Where one method is another's special case, it is so bit for bit; and algorithm files stay short."""

import ast
import inspect
from functools import partial

import numpy as np
import optax
import pytest

import pfljax as pfl
from tests.support import runs
from tests.support.runs import bits

WORK = {"client_opt": optax.sgd(0.1), "epochs": 2, "batch": 4}
run = partial(runs.run, cohort=5, rounds=4)


@pytest.fixture(scope="module")
def fedavg(population, model):
    return run(pfl.algorithms.fedavg(model, **WORK), population)


@pytest.mark.parametrize("lam", [0.0, 0.5, 10.0])
def test_dittos_shared_model_is_fedavgs(population, model, fedavg, lam):
    ditto = run(pfl.algorithms.ditto(model, lam=lam, **WORK), population)
    np.testing.assert_array_equal(bits(ditto.vars), bits(fedavg.vars))


def test_finetuning_changes_no_training(population, model, fedavg):
    tuned = run(pfl.algorithms.fedavg_finetune(model, personal_opt=optax.sgd(1.0), **WORK), population)
    np.testing.assert_array_equal(bits(tuned.vars), bits(fedavg.vars))


@pytest.mark.slow
def test_ditto_without_a_pull_trains_alone(population, model):
    """lam = 0 with momentum-free SGD: v never hears of w once it has begun."""
    no_server = optax.sgd(0.0)
    ditto = run(pfl.algorithms.ditto(model, server_opt=no_server, lam=0.0, **WORK), population)
    pulled = run(pfl.algorithms.ditto(model, server_opt=no_server, lam=5.0, **WORK), population)
    alone = pfl.algorithms.local_only(model, **WORK)
    ((client, server),) = alone.passes
    from pfljax import keys  # Ditto trains v under a key of its own

    named = lambda key, sent, mine, shard: client(keys.use(key, "personal"), sent, mine, shard)
    local = run(alone._replace(passes=((named, server),)), population)
    np.testing.assert_allclose(bits(ditto.clients), bits(local.clients), rtol=1e-6, atol=1e-7)
    assert np.abs(bits(pulled.clients) - bits(local.clients)).max() > 1e-3


@pytest.mark.slow
def test_anil_on_every_leaf_is_maml(population, model):
    maml = lambda adapt: pfl.algorithms.per_fedavg(model, optax.sgd(0.1), steps=2, batch=4, adapt=adapt)
    np.testing.assert_allclose(
        bits(run(maml("*"), population).vars), bits(run(maml(None), population).vars), rtol=1e-6, atol=1e-7
    )


def test_anil_adapts_the_head_only(population, model):
    algorithm = pfl.algorithms.per_fedavg(model, optax.sgd(0.1), steps=2, batch=4, adapt="head/*", inner_lr=0.5)
    result = run(algorithm, population)
    own = result.personal(population.ids[0], steps=3).vars.params
    np.testing.assert_array_equal(bits(own["body"]), bits(result.vars.params["body"]))
    assert not np.array_equal(bits(own["head"]), bits(result.vars.params["head"]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"order": "second"}, "order: expected one of exact, first, hessian_free, got 'second'"),
        ({"inner_steps": 0}, "inner_steps: expected a whole number of at least 1, got 0"),
        ({"inner_lr": -1.0}, "inner_lr: expected a number of at least 0, got -1.0"),
        ({"inner_lr": float("nan")}, "inner_lr: expected"),
        ({"steps": 1, "epochs": 1}, "epochs, steps: expected exactly one"),
        ({"weighting": "rows"}, "weighting: expected one of examples, uniform, got 'rows'"),
    ],
)
def test_bad_arguments(model, arguments, message):
    with pytest.raises(pfl.PflError, match=message):
        pfl.algorithms.per_fedavg(model, **arguments)


def test_a_pattern_that_matches_nothing(population, model):
    algorithm = pfl.algorithms.per_fedavg(model, steps=1, batch=4, adapt="tail/*")
    with pytest.raises(pfl.PflError, match="pattern 'tail/\\*': expected it to match a parameter"):
        run(algorithm, population)


@pytest.mark.parametrize(("name", "limit"), [("ditto", 25), ("per_fedavg", 40), ("fedavg", 60)])
def test_algorithms_are_short(name, limit):
    """Lines of code, without docstrings, imports, comments and blank lines."""
    source = inspect.getsource(inspect.getmodule(getattr(pfl.algorithms, name)))
    tree, skipped = ast.parse(source), set()
    for node in ast.walk(tree):
        text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        if text or isinstance(node, ast.Import | ast.ImportFrom):
            skipped |= set(range(node.lineno, node.end_lineno + 1))
    lines = [
        line
        for number, line in enumerate(source.splitlines(), start=1)
        if number not in skipped and line.strip() and not line.strip().startswith("#")
    ]
    assert len(lines) < limit, f"{len(lines)} lines of code in {name}.py"
