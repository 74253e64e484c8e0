"""flax modules as pure functions: what moves when, what depends on the key, and what can be done with them."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx
from jax import lax

from pfljax.errors import PflError
from pfljax.local.gradient import mean_loss
from pfljax.models import from_linen, from_nnx, losses
from pfljax.models.lora import with_adapters
from pfljax.types import Model, Vars

FEATURES, HIDDEN, CLASSES, ROWS = 3, 8, 2, 6
METRICS = {"accuracy": losses.accuracy()}
BOTH = pytest.mark.parametrize("make", ["nnx", "linen"])


class NnxNet(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.body = nnx.Linear(FEATURES, HIDDEN, rngs=rngs)
        self.norm = nnx.BatchNorm(HIDDEN, momentum=0.9, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.head = nnx.Linear(HIDDEN, CLASSES, rngs=rngs)

    def features(self, x, mask):
        return self.drop(self.norm(self.body(x), mask=mask[:, None]))

    def __call__(self, x, mask):
        return self.head(self.features(x, mask))


class LinenNet(linen.Module):
    @linen.compact
    def __call__(self, x, mask, train):
        x = linen.Dense(HIDDEN, name="body")(x)
        x = linen.BatchNorm(momentum=0.9, use_running_average=not train, name="norm")(x, mask=mask[:, None])
        x = linen.Dropout(0.5, deterministic=not train, name="drop")(x)
        return linen.Dense(CLASSES, name="head")(x)


def batch(seed: int = 0, num_real: int = 4) -> dict[str, jax.Array]:
    generator = np.random.default_rng(seed)
    return {
        "x": jnp.asarray(generator.normal(size=(ROWS, FEATURES)), jnp.float32),
        "y": jnp.asarray(generator.integers(0, CLASSES, ROWS), jnp.int32),
        "mask": jnp.arange(ROWS) < num_real,
    }


@cache
def net(make: str) -> Model:
    inputs = lambda batch: (batch["x"], batch["mask"])
    if make == "nnx":
        return from_nnx(NnxNet, losses.cross_entropy(), METRICS, inputs=inputs, features=(HIDDEN, CLASSES))
    return from_linen(LinenNet(), batch(), losses.cross_entropy(), METRICS, inputs=inputs, train_argument="train")


def linear(make: str) -> Model:
    if make == "nnx":
        return from_nnx(lambda rngs: nnx.Linear(FEATURES, CLASSES, rngs=rngs), losses.squared_error(), METRICS)
    return from_linen(linen.Dense(CLASSES), batch(), losses.squared_error(), METRICS)


@cache
def start(make: str) -> Vars:
    return jax.jit(net(make).init)(jax.random.key(0))


@cache
def applied(make: str):
    """(vars, batch, key, train) -> (outputs, stats)"""
    return jax.jit(net(make).apply, static_argnums=3)


def moments(vars: Vars) -> tuple[np.ndarray, np.ndarray]:
    """(mean, variance) that the batch norm keeps, from either library's tree."""
    norm = vars.stats.get("norm") or vars.stats["batch_stats"]["norm"]
    return np.asarray(norm["mean"]), np.asarray(norm["var"])


def assert_same(a, b) -> None:
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


def differs(a, b) -> bool:
    return any(not np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


# ---- trees ----


@BOTH
def test_params_and_stats_are_apart(make):
    vars = start(make)
    assert set(vars.params) == {"body", "norm", "head"}
    assert jax.tree.map(jnp.shape, vars.params["body"]) == {"kernel": (FEATURES, HIDDEN), "bias": (HIDDEN,)}
    assert jax.tree.map(jnp.shape, vars.params["norm"]) == {"scale": (HIDDEN,), "bias": (HIDDEN,)}
    assert [leaf.shape for leaf in jax.tree.leaves(vars.stats)] == [(HIDDEN,)] * 2
    mean, var = moments(vars)
    np.testing.assert_array_equal(mean, 0)
    np.testing.assert_array_equal(var, 1)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(vars))


@BOTH
def test_a_model_without_statistics_has_none(make):
    vars = linear(make).init(jax.random.key(0))
    assert set(vars.params) == {"kernel", "bias"}
    assert not jax.tree.leaves(vars.stats)


@BOTH
def test_the_key_decides_the_start(make):
    init = jax.jit(net(make).init)
    assert_same(init(jax.random.key(1)), init(jax.random.key(1)))
    assert differs(init(jax.random.key(1)).params, init(jax.random.key(2)).params)


# ---- statistics and dropout ----


@BOTH
def test_statistics_move_in_training_only(make):
    rows = batch()
    vars, apply = start(make), applied(make)
    before = jax.tree.map(np.array, vars)
    assert_same(apply(vars, rows, jax.random.key(1), False)[1], vars.stats)
    _, stats = apply(vars, rows, jax.random.key(1), True)
    hidden = np.asarray(rows["x"])[:4] @ np.asarray(vars.params["body"]["kernel"]) + np.asarray(
        vars.params["body"]["bias"]
    )
    mean, var = moments(Vars(vars.params, stats))
    np.testing.assert_allclose(mean, 0.1 * hidden.mean(axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(var, 0.9 + 0.1 * hidden.var(axis=0), rtol=1e-4, atol=1e-6)
    assert_same(vars, before)


@BOTH
def test_padded_rows_do_not_reach_the_statistics(make):
    rows = batch()
    vars, apply = start(make), applied(make)
    other = rows | {"x": rows["x"].at[4:].set(1e3)}
    for train in (True, False):
        (out, stats), (out_other, stats_other) = (apply(vars, b, jax.random.key(1), train) for b in (rows, other))
        assert_same(stats, stats_other)
        np.testing.assert_array_equal(out[:4], out_other[:4])
    unmasked = other | {"mask": jnp.ones(ROWS, bool)}
    assert differs(stats, apply(vars, unmasked, jax.random.key(1), True)[1])


@BOTH
def test_dropout_is_for_training_and_follows_the_key(make):
    rows = batch()
    vars, apply = start(make), applied(make)
    trained = [np.asarray(apply(vars, rows, jax.random.key(seed), True)[0]) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(trained[0], trained[1])
    assert not np.array_equal(trained[0], trained[2])
    evaluated = [np.asarray(apply(vars, rows, jax.random.key(seed), False)[0]) for seed in (1, 2)]
    np.testing.assert_array_equal(*evaluated)


@BOTH
def test_evaluation_uses_the_statistics(make):
    rows, vars = batch(), start(make)
    _, stats = applied(make)(vars, rows, jax.random.key(1), True)
    params, (mean, var) = jax.tree.map(np.asarray, vars.params), moments(Vars(vars.params, stats))
    hidden = np.asarray(rows["x"]) @ params["body"]["kernel"] + params["body"]["bias"]
    normed = (hidden - mean) / np.sqrt(var + 1e-5) * params["norm"]["scale"] + params["norm"]["bias"]
    expected = normed @ params["head"]["kernel"] + params["head"]["bias"]
    out, _ = applied(make)(Vars(vars.params, stats), rows, jax.random.key(2), False)
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("argument", ["deterministic", "use_running_average"])
def test_linens_own_flags_are_negated(argument):
    """`BatchNorm(use_running_average=...)` and `Dropout(deterministic=...)` as whole models."""
    module = linen.BatchNorm() if argument == "use_running_average" else linen.Dropout(0.5)

    class Wrapped(linen.Module):
        @linen.compact
        def __call__(self, x, **flags):
            return linen.Dense(CLASSES)(module.copy()(x, **flags))

    model = from_linen(Wrapped(), batch(), losses.cross_entropy(), METRICS, train_argument=argument)
    vars = model.init(jax.random.key(0))
    trained, evaluated = (model.apply(vars, batch(), jax.random.key(1), train)[0] for train in (True, False))
    kernel = vars.params["Dense_0"]["kernel"]
    np.testing.assert_allclose(evaluated, batch()["x"] @ kernel, rtol=1e-4, atol=1e-5)
    assert not np.allclose(trained, evaluated, rtol=1e-2)


# ---- gradients and transformations ----


@BOTH
def test_gradients_reach_every_parameter(make):
    model, rows, vars = net(make), batch(), start(make)
    objective = lambda params: mean_loss(model, params, vars.stats, rows, jax.random.key(1))
    grads, stats = jax.jit(jax.grad(objective, has_aux=True))(vars.params)
    assert jax.tree.structure(grads) == jax.tree.structure(vars.params)
    for name in ("norm", "head"):
        assert all(np.abs(leaf).max() > 1e-4 for leaf in jax.tree.leaves(grads[name]))
    assert np.abs(grads["body"]["kernel"]).max() > 1e-4
    np.testing.assert_allclose(grads["body"]["bias"], 0, atol=1e-6)  # the norm takes it out again
    expected = applied(make)(vars, rows, jax.random.key(1), True)[1]
    for a, b in zip(jax.tree.leaves(stats), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


@BOTH
def test_second_derivatives_are_those_of_the_closed_form(make):
    """A linear model with squared error: the gradient of |gradient|^2 / 2 is H g, both known in numpy."""
    model, rows = linear(make), batch(num_real=ROWS)
    rows = rows | {"y": jnp.asarray(np.random.default_rng(1).normal(size=(ROWS, CLASSES)), jnp.float32)}
    vars = model.init(jax.random.key(0))
    slope = jax.grad(lambda params: mean_loss(model, params, vars.stats, rows, jax.random.key(1))[0])
    half_square = lambda params: sum(0.5 * jnp.sum(leaf**2) for leaf in jax.tree.leaves(slope(params)))
    found = jax.jit(jax.grad(half_square))(vars.params)
    x = np.concatenate([np.asarray(rows["x"]), np.ones((ROWS, 1))], axis=1)
    weights = np.concatenate([np.asarray(vars.params["kernel"]), np.asarray(vars.params["bias"])[None]])
    hessian = x.T @ x / ROWS
    expected = hessian @ (hessian @ weights - x.T @ np.asarray(rows["y"]) / ROWS)
    np.testing.assert_allclose(found["kernel"], expected[:-1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["bias"], expected[-1], rtol=1e-4, atol=1e-5)


@BOTH
def test_a_loop_of_meta_gradients_over_clients(make):
    """fori_loop, vmap and a gradient through a gradient, as a round does it, against plain Python loops."""
    model = net(make)
    clients = [batch(seed) for seed in range(3)]
    keys = jax.random.split(jax.random.key(3), 3)
    vars = start(make)

    def step(index, vars, rows, key):
        key = jax.random.fold_in(key, index)
        loss = lambda params: mean_loss(model, params, vars.stats, rows, key)

        def after_a_step(params):
            grads, _ = jax.grad(loss, has_aux=True)(params)
            return loss(jax.tree.map(lambda w, g: w - 0.1 * g, params, grads))

        grads, stats = jax.grad(after_a_step, has_aux=True)(vars.params)
        return Vars(jax.tree.map(lambda w, g: w - 0.1 * g, vars.params, grads), stats)

    def many(vars, rows, key):
        return lax.fori_loop(jnp.int32(0), jnp.int32(3), lambda index, vars: step(index, vars, rows, key), vars)

    together = jax.jit(jax.vmap(many, in_axes=(None, 0, 0)))(
        vars, jax.tree.map(lambda *x: jnp.stack(x), *clients), keys
    )
    one = jax.jit(step)
    for index, rows in enumerate(clients):
        alone = vars
        for number in range(3):
            alone = one(jnp.int32(number), alone, rows, keys[index])
        assert differs(alone.params, vars.params)
        assert differs(alone.stats, vars.stats)
        for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(together), strict=True):
            np.testing.assert_allclose(b[index], a, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("change", [lambda model: model, lambda model: with_adapters(model, 2)])
def test_features_come_with_the_same_outputs_and_statistics(change, train):
    model, key = change(net("nnx")), jax.random.key(3)
    vars = jax.jit(model.init)(jax.random.key(0))
    found, *rest = jax.jit(model.features.apply, static_argnums=3)(vars, batch(), key, train)
    assert_same(tuple(rest), jax.jit(model.apply, static_argnums=3)(vars, batch(), key, train))
    assert found.shape == (ROWS, model.features.size)
    head = start("nnx").params["head"]  # adapters start as nothing
    np.testing.assert_allclose(found @ head["kernel"] + head["bias"][None], rest[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("missing", ["features", "head"])
def test_features_need_a_module_that_has_them(missing):
    class Half(nnx.Module):
        def __init__(self, rngs):
            self.last = nnx.Linear(FEATURES, CLASSES, rngs=rngs)
            setattr(self, {"features": "head", "head": "features"}[missing], lambda x: x)

        def __call__(self, x):
            return self.last(x)

    with pytest.raises(
        PflError, match=f"features: expected a module with .features. and .head., got .*Half without {missing}"
    ):
        from_nnx(Half, losses.cross_entropy(), METRICS, features=(FEATURES, CLASSES))


def test_evaluation_leaves_every_variable_alone():
    """Also one that the module writes whatever the mode."""

    class Counting(nnx.Module):
        def __init__(self, rngs: nnx.Rngs):
            self.head = nnx.Linear(FEATURES, CLASSES, rngs=rngs)
            self.calls = nnx.Variable(jnp.zeros(()))

        def __call__(self, x):
            self.calls[...] = self.calls[...] + 1
            return self.head(x)

    model = from_nnx(Counting, losses.cross_entropy(), METRICS)
    vars = jax.jit(model.init)(jax.random.key(0))
    apply = jax.jit(model.apply, static_argnums=3)
    counted = [apply(vars, batch(), jax.random.key(0), train)[1]["calls"] for train in (False, True)]
    assert [float(calls) for calls in counted] == [0, 1]
