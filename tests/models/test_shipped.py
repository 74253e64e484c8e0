"""The two shipped models: shapes, parameters, what they refuse, what they score."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pfljax.data.population import About, Population
from pfljax.errors import PflError
from pfljax.local.gradient import mean_loss
from pfljax.local.paths import path_of
from pfljax.models import char_lm, mlp
from pfljax.models.char_lm import OTHER


def people(x: np.ndarray, num_classes: int = 4, y: np.ndarray | None = None) -> Population:
    """One client, `x: [example, ...]`."""
    y = np.arange(len(x)) % max(num_classes, 1) if y is None else y
    return Population.from_clients({"ada": {"x": x, "y": y}}, seed=None, about=About(num_classes=num_classes))


def images(dtype=np.uint8) -> Population:
    return people(np.random.default_rng(0).integers(0, 256, (6, 2, 3)).astype(dtype))


def letters(num_symbols: int = 9, context: int = 3, dtype=np.uint8) -> Population:
    x = np.random.default_rng(0).integers(0, num_symbols, (12, context)).astype(dtype)
    return people(x, num_symbols)


def rows(population: Population) -> dict[str, jax.Array]:
    x, y = population.arrays["x"], population.arrays["y"].astype(np.int32)
    return {"x": jnp.asarray(x), "y": jnp.asarray(y), "mask": jnp.ones(len(y), bool)}


def shapes(model) -> dict[str, tuple[int, ...]]:
    params = jax.eval_shape(model.init, jax.random.key(0)).params
    return {path_of(path): leaf.shape for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]}


def start(model):
    return jax.jit(model.init)(jax.random.key(0))


def outputs(model, vars, batch):
    return jax.jit(model.apply, static_argnums=3)(vars, batch, jax.random.key(0), False)[0]


def score(model, name: str, logits, batch) -> float:
    metric = dict(model.metrics)[name]
    return float(metric.finalize(jax.tree.map(lambda leaf: leaf.sum(axis=0), metric.stat(logits, batch))))


# ---- mlp ----


@pytest.mark.parametrize("hidden", [(), (5,), (5, 7), [128]])
def test_mlp_parameters(hidden):
    sizes, expected = [6, *hidden], {}
    for index, size in enumerate(hidden):
        expected |= {f"body/{index}/bias": (size,), f"body/{index}/kernel": (sizes[index], size)}
    expected |= {"head/bias": (4,), "head/kernel": (sizes[-1], 4)}
    assert shapes(mlp(images(), hidden)) == expected


def test_mlp_is_its_formula():
    model, batch = mlp(images(), (5,), jnp.tanh), rows(images())
    vars = start(model)
    body, head = (jax.tree.map(np.asarray, vars.params[name]) for name in ("body", "head"))
    hidden = np.tanh(np.asarray(batch["x"]).reshape(6, -1) / 255 @ body[0]["kernel"] + body[0]["bias"])
    expected = hidden @ head["kernel"] + head["bias"]
    np.testing.assert_allclose(outputs(model, vars, batch), expected, rtol=1e-4, atol=1e-6)
    assert [name for name, _ in model.metrics] == ["accuracy", "loss"]


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.uint16])
def test_only_bytes_are_scaled(dtype):
    vars = start(mlp(images()))
    scaled = outputs(mlp(images()), vars, rows(images()))
    plain = images(dtype)
    np.testing.assert_allclose(
        outputs(mlp(plain), vars, rows(people(plain.arrays["x"] * dtype(1)))),
        outputs(mlp(images(np.float32)), vars, rows(images(np.float32))),
        rtol=1e-5,
    )
    down = people(images().arrays["x"].astype(np.float32) / 255)
    np.testing.assert_allclose(outputs(mlp(down), vars, rows(down)), scaled, rtol=1e-4, atol=1e-6)


def test_mlp_takes_single_numbers():
    single = people(np.linspace(0, 1, 6, dtype=np.float32))
    assert shapes(mlp(single, ())) == {"head/bias": (4,), "head/kernel": (1, 4)}
    assert outputs(mlp(single, ()), start(mlp(single, ())), rows(single)).shape == (6, 4)


@pytest.mark.parametrize(
    ("population", "got"),
    [
        (people(np.zeros((5, 2)), 0), r"arrays \['x', 'y'\] and num_classes=0"),
        (Population.from_clients({"ada": {"x": np.zeros(5)}}, about=About(num_classes=2)), r"arrays \['x'\]"),
        (Population.from_clients({"ada": {"y": np.zeros(5)}}, about=About(num_classes=2)), r"arrays \['y'\]"),
    ],
)
def test_mlp_refuses_what_is_no_class_task(population, got):
    with pytest.raises(PflError, match=rf"mlp: expected arrays 'x' and 'y' and about\.num_classes >= 1, got {got}"):
        mlp(population)


# ---- char_lm ----


def test_char_lm_parameters():
    assert shapes(char_lm(letters(), features=4, hidden=5)) == {
        "body/bias": (5,),
        "body/kernel": (12, 5),
        "embed/embedding": (9, 4),
        "head/bias": (9,),
        "head/kernel": (5, 9),
    }


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_char_lm_is_its_formula(dtype):
    population = letters(dtype=dtype)
    model, batch = char_lm(population, 4, 5), rows(population)
    vars = start(model)
    params = jax.tree.map(np.asarray, vars.params)
    embedded = params["embed"]["embedding"][population.arrays["x"]].reshape(12, -1)
    hidden = np.tanh(embedded @ params["body"]["kernel"] + params["body"]["bias"])
    expected = hidden @ params["head"]["kernel"] + params["head"]["bias"]
    np.testing.assert_allclose(outputs(model, vars, batch), expected, rtol=1e-4, atol=1e-6)


def test_targets_outside_the_vocabulary_are_not_scored():
    model, batch = char_lm(letters()), rows(letters())
    vars = start(model)
    is_other = np.asarray(batch["y"]) == OTHER
    assert 0 < is_other.sum() < 12
    logits = outputs(model, vars, batch)
    shifted = logits.at[jnp.asarray(is_other)].set(50.0)
    value, weight = model.loss(logits, batch)
    np.testing.assert_array_equal(weight, ~is_other)
    for name in ("accuracy", "bits"):
        assert score(model, name, shifted, batch) == score(model, name, logits, batch)
    without = {name: array[jnp.asarray(~is_other)] for name, array in batch.items()}
    average = jax.jit(lambda batch: mean_loss(model, vars.params, vars.stats, batch, jax.random.key(0))[0])
    loss, more = average(batch), average(without)
    assert float(loss) == pytest.approx(float(more), rel=1e-6)
    bits = np.asarray(value)[~is_other].mean() / math.log(2)
    assert score(model, "bits", logits, batch) == pytest.approx(bits, rel=1e-5)
    hit = np.asarray(logits).argmax(axis=1) == np.asarray(batch["y"])
    assert score(model, "accuracy", logits, batch) == pytest.approx(hit[~is_other].mean())


def test_nothing_but_unscored_targets_moves_nothing():
    model, batch = char_lm(letters()), rows(letters())
    vars = start(model)
    batch = batch | {"y": jnp.full(12, OTHER)}
    average = lambda params: mean_loss(model, params, vars.stats, batch, jax.random.key(0))[0]
    grads = jax.jit(jax.grad(average))(vars.params)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(grads))


@pytest.mark.parametrize(
    ("population", "got"),
    [
        (people(np.zeros((5, 3), np.float32)), r"x: float32\[5, 3\], num_classes=4"),
        (people(np.zeros((5, 3, 1), np.uint8)), r"x: uint8\[5, 3, 1\]"),
        (people(np.zeros(5, np.uint8)), r"x: uint8\[5\]"),
        (people(np.zeros((5, 3), np.uint8), 1), "num_classes=1"),
        (Population.from_clients({"ada": {"y": np.zeros(5)}}, about=About(num_classes=2)), "arrays \\['y'\\]"),
    ],
)
def test_char_lm_refuses_what_are_no_contexts_of_symbols(population, got):
    message = rf"char_lm: expected .*got .*{got}"
    with pytest.raises(PflError, match=message):
        char_lm(population)


@pytest.mark.parametrize("make", [mlp, char_lm])
def test_arrays_that_are_missing_are_refused_at_once(make):
    population = Population.from_clients({"ada": {"x": np.zeros((5, 3), np.uint8)}}, about=About(num_classes=4))
    with pytest.raises(PflError, match="'y'"):
        make(population)
