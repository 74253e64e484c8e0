"""The language model with attention: its formula in numpy, what it sees, what it scores, what it refuses."""

import math
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pfljax.data.population import About, Population
from pfljax.errors import PflError
from pfljax.local.gradient import mean_loss
from pfljax.local.paths import path_of
from pfljax.models import attention_lm
from pfljax.types import Model

SYMBOLS, TIME, ROWS = 7, 5, 6


def text(dtype=np.uint8, num_symbols: int = SYMBOLS, **columns) -> Population:
    symbols = np.random.default_rng(0).integers(0, SYMBOLS, (ROWS, TIME + 1)).astype(dtype)
    columns = {"x": symbols[:, :-1], "y": symbols[:, 1:]} | columns
    columns = {name: column for name, column in columns.items() if column is not None}
    return Population.from_clients({"ada": columns}, seed=None, about=About(num_classes=num_symbols))


def batch(population: Population) -> dict[str, jax.Array]:
    return {name: jnp.asarray(population.arrays[name]) for name in ("x", "y")} | {"mask": jnp.ones(ROWS, bool)}


@cache
def model() -> Model:
    return attention_lm(text(), features=8, heads=2, hidden=6)


@cache
def start():
    """Parameters moved off their starts, so that every one of them shows."""
    vars = model().init(jax.random.key(0))
    noise = np.random.default_rng(1)
    moved = lambda leaf: leaf + jnp.asarray(noise.normal(scale=0.3, size=leaf.shape), leaf.dtype)
    return vars._replace(params=jax.tree.map(moved, vars.params))


def logits(x) -> np.ndarray:
    rows = batch(text()) | {"x": jnp.asarray(x)}
    return np.asarray(jax.jit(model().apply, static_argnums=3)(start(), rows, jax.random.key(0), False)[0])


def test_parameters():
    params = jax.eval_shape(model().init, jax.random.key(0)).params
    found = {path_of(path): leaf.shape for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]}
    assert {name: shape for name, shape in found.items() if "bias" not in name and "scale" not in name} == {
        "embed/embedding": (SYMBOLS, 8),
        "positions": (TIME, 8),
        "body/attention/query/kernel": (8, 2, 4),
        "body/attention/key/kernel": (8, 2, 4),
        "body/attention/value/kernel": (8, 2, 4),
        "body/attention/out/kernel": (2, 4, 8),
        "body/up/kernel": (8, 6),
        "body/down/kernel": (6, 8),
        "head/kernel": (8, SYMBOLS),
    }
    assert {name.split("/")[0] for name in found} == {"embed", "positions", "body", "norm", "head"}


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_the_formula(dtype):
    p, x = jax.tree.map(np.asarray, start().params), text().arrays["x"].astype(dtype)
    linear = lambda layer, x: np.tensordot(x, layer["kernel"], 1) + layer["bias"]

    def norm(layer, x):
        centred = x - x.mean(axis=-1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-6) * layer["scale"] + layer["bias"]

    h = p["embed"]["embedding"][x] + p["positions"]
    body, attention = p["body"], p["body"]["attention"]
    query, key, value = (linear(attention[name], norm(body["norm_attention"], h)) for name in ("query", "key", "value"))
    mixed = np.zeros_like(query)
    for t in range(TIME):
        scores = np.einsum("bhd,bshd->bsh", query[:, t], key[:, : t + 1]) / math.sqrt(4)
        shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        mixed[:, t] = np.einsum("bsh,bshd->bhd", shares, value[:, : t + 1])
    h = h + np.einsum("bthd,hdf->btf", mixed, attention["out"]["kernel"]) + attention["out"]["bias"]
    h = h + linear(body["down"], np.maximum(linear(body["up"], norm(body["norm_dense"], h)), 0))
    expected = linear(p["head"], norm(p["norm"], h))
    assert expected.shape == (ROWS, TIME, SYMBOLS)
    np.testing.assert_allclose(logits(x), expected, rtol=1e-3, atol=1e-4)


def test_nobody_sees_ahead():
    x = text().arrays["x"]
    for t in range(TIME):
        other = x.copy()
        other[:, t] = (other[:, t] + 1) % SYMBOLS
        changed = np.abs(logits(other) - logits(x)).max(axis=(0, 2)) > 0
        np.testing.assert_array_equal(changed, np.arange(TIME) >= t)


def test_scores_are_means_over_time():
    rows = batch(text())
    outputs = logits(rows["x"])
    shares = np.exp(outputs) / np.exp(outputs).sum(axis=-1, keepdims=True)
    y = np.asarray(rows["y"])
    nats = -np.log(np.take_along_axis(shares, y[..., None].astype(int), axis=-1))[..., 0]
    value, weight = model().loss(jnp.asarray(outputs), rows)
    np.testing.assert_allclose(value, nats.mean(axis=1), rtol=1e-4)
    np.testing.assert_array_equal(weight, np.ones(ROWS))
    expected = {"accuracy": (outputs.argmax(axis=-1) == y).mean(), "bits": nats.mean() / math.log(2)}
    for name, metric in model().metrics:
        sums = jax.tree.map(lambda leaf: leaf.sum(axis=0), metric.stat(jnp.asarray(outputs), rows))
        assert float(metric.finalize(sums)) == pytest.approx(expected[name], rel=1e-4)
    assert [(name, metric.better) for name, metric in model().metrics] == [("accuracy", "higher"), ("bits", "lower")]


def test_clients_side_by_side_are_clients_alone():
    """Gradients under vmap over parameters, in products alone; every parameter has one."""
    rows, params = batch(text()), start().params
    slope = jax.grad(lambda params, rows: mean_loss(model(), params, start().stats, rows, jax.random.key(0))[0])
    clients = jax.tree.map(lambda leaf: jnp.stack([leaf, 0.5 * leaf]), params)
    together = jax.jit(jax.vmap(slope, in_axes=(0, None)))(clients, rows)
    for index in range(2):
        alone = jax.jit(slope)(jax.tree.map(lambda leaf, index=index: leaf[index], clients), rows)
        for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(alone), jax.tree.leaves(together), strict=True):
            np.testing.assert_allclose(b[index], a, rtol=1e-3, atol=1e-6, err_msg=path_of(path))
            # A bias of the keys moves all scores of a query alike, which a softmax does not see.
            assert np.abs(a).max() > 1e-4 or path_of(path) == "body/attention/key/bias"


@pytest.mark.parametrize(
    ("population", "arguments", "got"),
    [
        (text(), {"heads": 3}, "heads: expected a divisor of features=64, got 3"),
        (text(), {"hidden": 0}, "hidden: expected a whole number of at least 1, got 0"),
        (text(y=None), {}, r"expected integers x and y .*, got x: uint8\[6, 5\], num_classes=7; .*use char_lm"),
        (text(x=None, y=None, z=np.zeros(ROWS)), {}, "got neither"),
        (text(y=np.zeros(ROWS, np.uint8)), {}, r"got x: uint8\[6, 5\], y: uint8\[6\]"),
        (text(y=np.zeros((ROWS, 4), np.uint8)), {}, r"y: uint8\[6, 4\]"),
        (text(np.float32), {}, r"x: float32\[6, 5\]"),
        (text(num_symbols=1), {}, "num_classes=1"),
        (text(np.int32, y=np.full((ROWS, TIME), -1)), {}, "client 'ada': expected symbols from 0 to 6 in 'y', got -1"),
        (text(x=np.full((ROWS, TIME), 7)), {}, "expected symbols from 0 to 6 in 'x', got 7"),
    ],
)
def test_what_is_refused(population, arguments, got):
    with pytest.raises(PflError, match=got):
        attention_lm(population, **arguments)
