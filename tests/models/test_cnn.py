"""The convolutional network: its parameters, its formula by lax and flax, what it refuses, what is compiled."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen
from jax import lax

from pfljax.data.population import About, Population
from pfljax.errors import PflError
from pfljax.local.gradient import mean_loss
from pfljax.local.paths import path_of
from pfljax.models import cnn
from pfljax.models.convolutions import per_client_convolutions
from pfljax.types import Model


def images(shape=(8, 7, 2), num_classes: int = 4, dtype=np.uint8, num: int = 6) -> Population:
    x = np.random.default_rng(0).integers(0, 256, (num, *shape)).astype(dtype)
    columns = {"x": x, "y": np.arange(num) % max(num_classes, 1)}
    return Population.from_clients({"ada": columns}, seed=None, about=About(num_classes=num_classes))


def rows(population: Population) -> dict[str, jax.Array]:
    x, y = (jnp.asarray(population.arrays[name]) for name in ("x", "y"))
    return {"x": x, "y": y.astype(jnp.int32), "mask": jnp.ones(len(y), bool)}


def shapes(model: Model) -> dict[str, tuple[int, ...]]:
    params = jax.eval_shape(model.init, jax.random.key(0)).params
    return {path_of(path): leaf.shape for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]}


@cache
def small(padding: str = "VALID", dropout: tuple[float, float] = (0.0, 0.0)) -> Model:
    return cnn(images(), (3, 4), 5, padding, dropout)


def run(model: Model, vars, batch, seed: int = 0, train: bool = False):
    return jax.jit(model.apply, static_argnums=3)(vars, batch, jax.random.key(seed), train)[0]


@pytest.mark.parametrize(("shape", "classes", "count"), [((32, 32, 3), 10, 1_626_442), ((28, 28), 62, 1_206_590)])
def test_the_networks_of_the_benchmarks(shape, classes, count):
    """pfl-research's `simple_cnn` on CIFAR-10, and the usual one on FEMNIST, by their number of parameters."""
    assert sum(np.prod(shape) for shape in shapes(cnn(images(shape, classes))).values()) == count


def test_parameters():
    found = shapes(cnn(images(), (3, 4, 2), 5, "SAME"))
    assert {name: shape for name, shape in found.items() if name.endswith("kernel")} == {
        "body/0/kernel": (3, 3, 2, 3),
        "body/1/kernel": (3, 3, 3, 4),
        "body/2/kernel": (3, 3, 4, 2),
        "body/3/kernel": (4 * 3 * 2, 5),
        "head/kernel": (5, 4),
    }
    assert {name for name in found if name.endswith("bias")} == {name.replace("kernel", "bias") for name in found}


@pytest.mark.parametrize("padding", ["VALID", "SAME"])
def test_the_formula(padding):
    model, batch = small(padding), rows(images())
    vars = model.init(jax.random.key(0))
    *convolutions, dense = (vars.params["body"][index] for index in sorted(vars.params["body"]))
    x = batch["x"].astype(jnp.float32) / 255
    for layer in convolutions:
        layout = {"padding": padding, "dimension_numbers": ("NHWC", "HWIO", "NHWC")}
        x = jax.nn.relu(
            lax.conv_general_dilated(x, layer["kernel"], (1, 1), **layout) + layer["bias"][None, None, None]
        )
    x = linen.max_pool(x, (2, 2), (2, 2)).reshape(6, -1)
    x = jax.nn.relu(x @ dense["kernel"] + dense["bias"][None])
    expected = x @ vars.params["head"]["kernel"] + vars.params["head"]["bias"][None]
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(run(model, vars, batch), expected, rtol=1e-4, atol=1e-6)
    assert [name for name, _ in model.metrics] == ["accuracy", "loss"]


def test_a_channel_axis_of_one_may_be_left_out():
    with_axis, without = images((8, 7, 1)), images((8, 7))
    vars = cnn(with_axis, (3,), 5).init(jax.random.key(0))
    outputs = [run(cnn(population, (3,), 5), vars, rows(population)) for population in (with_axis, without)]
    np.testing.assert_array_equal(*outputs)


def test_only_bytes_are_scaled():
    vars = small().init(jax.random.key(0))
    raw = images(dtype=np.float32)
    scaled = rows(raw) | {"x": rows(raw)["x"] / 255}
    floats = cnn(raw, (3, 4), 5)
    np.testing.assert_allclose(run(floats, vars, scaled), run(small(), vars, rows(images())), rtol=1e-4, atol=1e-6)
    assert not np.allclose(run(floats, vars, rows(raw)), run(floats, vars, scaled), rtol=0.1)


@pytest.mark.parametrize("dropout", [(0.5, 0.0), (0.0, 0.5)])
def test_dropout_is_for_training(dropout):
    model, batch = small(dropout=dropout), rows(images())
    vars = model.init(jax.random.key(0))
    np.testing.assert_array_equal(run(model, vars, batch), run(small(), vars, batch))
    trained = [run(model, vars, batch, seed, True) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(trained[0], trained[1])
    assert not np.array_equal(trained[0], trained[2])
    np.testing.assert_array_equal(run(small(), vars, batch, 1, True), run(small(), vars, batch))


def test_nothing_of_a_step_is_a_convolution():
    """Clients side by side, steps in a loop, gradients; and the model says so itself."""
    model, batch = small(), rows(images())
    vars = model.init(jax.random.key(0))

    def client(params, batch):
        loss = lambda params: mean_loss(model, params, vars.stats, batch, jax.random.key(0))[0]
        step = lambda _, params: jax.tree.map(lambda w, g: w - 0.1 * g, params, jax.grad(loss)(params))
        return lax.fori_loop(0, 3, step, params)

    clients = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), batch)
    text = jax.jit(jax.vmap(client, in_axes=(None, 0))).lower(vars.params, clients).compile().as_text()
    assert " dot(" in text
    assert not any(word in text for word in (" convolution(", "reduce-window", "select-and-scatter"))
    of = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), batch)
    assert per_client_convolutions(model, of) == ()


# ---- refusals ----


@pytest.mark.parametrize(
    ("population", "arguments", "got"),
    [
        (images(num_classes=0), {}, r"cnn: expected .*num_classes >= 1, got .*num_classes=0"),
        (images((8,)), {}, r"cnn: expected x \[example, height, width\] .*, got x: uint8\[6, 8\]; use mlp"),
        (images((8, 8, 2, 2)), {}, r"got x: uint8\[6, 8, 8, 2, 2\]"),
        (images((5, 9)), {}, "cnn: expected images of at least 6x6, got 5x9; use padding='SAME'"),
        (images((1, 9)), {"padding": "SAME"}, "at least 2x2, got 1x9"),
        (images(), {"padding": "same"}, "padding: expected one of VALID, SAME, got 'same'"),
        (images(), {"channels": ()}, "channels: expected at least one convolution, got none"),
        (images(), {"channels": (3, 0)}, "channels: expected a whole number of at least 1, got 0"),
        (images(), {"hidden": 2.5}, "hidden: expected a whole number of at least 1, got 2.5"),
        (images(), {"dropout": (0.5, 1.0)}, "dropout: expected two shares from 0 to below 1"),
        (images(), {"dropout": (0.5,)}, "dropout: expected two shares"),
    ],
)
def test_what_is_refused(population, arguments, got):
    with pytest.raises(PflError, match=got):
        cnn(population, **arguments)


def test_the_smallest_image_is_taken():
    assert shapes(cnn(images((6, 6)), (2, 3), 5))["body/2/kernel"] == (3, 5)
