"""A model in bfloat16: what is in which type, how far it may be off, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx

from pfljax.data.population import About, Population
from pfljax.errors import PflError
from pfljax.local.gradient import mean_loss
from pfljax.models import attention_lm, bfloat16, char_lm, cnn, from_linen, from_nnx, losses, mlp
from pfljax.models.jaxprs import equations
from pfljax.types import Model

BITS = {"bfloat16": 8, "float32": 24}  # of the significand, the leading one included
ROWS = 6


def people(x: np.ndarray, y: np.ndarray | None = None, num_classes: int = 4) -> Population:
    y = np.arange(len(x)) % num_classes if y is None else y
    return Population.from_clients({"ada": {"x": x, "y": y}}, seed=None, about=About(num_classes=num_classes))


def integers(*shape: int, below: int = 256) -> np.ndarray:
    return np.random.default_rng(0).integers(0, below, (ROWS, *shape)).astype(np.uint8)


SHIPPED = {
    "mlp": (mlp, people(integers(7)), {"hidden": (5,)}),
    "mlp_floats": (mlp, people(integers(7).astype(np.float32)), {"hidden": (5,)}),
    "cnn": (cnn, people(integers(8, 8)), {"channels": (3, 4), "hidden": 5, "dropout": (0.2, 0.2)}),
    "char_lm": (char_lm, people(integers(3, below=4)), {"features": 4, "hidden": 5}),
    "attention_lm": (
        attention_lm,
        people(integers(3, below=4), integers(3, below=4)),
        {"features": 8, "heads": 2, "hidden": 5},
    ),
}


def rows(population: Population) -> dict[str, jax.Array]:
    arrays = {name: jnp.asarray(array) for name, array in population.arrays.items()}
    return {"x": arrays["x"], "y": arrays["y"].astype(jnp.int32), "mask": jnp.ones(ROWS, bool)}


def types(tree) -> set[str]:
    return {str(leaf.dtype) for leaf in jax.tree.leaves(tree)}


def slope(model: Model, batch):
    """(params, stats) -> (gradients, new stats)"""
    return lambda params, stats: jax.grad(
        lambda params: mean_loss(model, params, stats, batch, jax.random.key(1)), has_aux=True
    )(params)


# ---- which type is where ----


@pytest.mark.parametrize("name", SHIPPED)
def test_parameters_gradients_and_updates_stay_float32(name):
    make, population, arguments = SHIPPED[name]
    model, batch = bfloat16(make(population, **arguments)), rows(population)
    vars, optimizer = model.init(jax.random.key(0)), optax.sgd(0.1, momentum=0.9)
    state = optimizer.init(vars.params)
    descent = jax.jit(slope(model, batch))
    grads, _ = descent(vars.params, vars.stats)
    updates, state = optimizer.update(grads, state, vars.params)
    outputs, _ = jax.jit(model.apply, static_argnums=3)(vars, batch, jax.random.key(0), False)
    everything = (vars, grads, updates, optax.apply_updates(vars.params, updates), outputs)
    assert types((*everything, model.loss(outputs, batch))) == {"float32"}
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
    text = descent.lower(vars.params, vars.stats).as_text()
    products = [line for line in text.splitlines() if "stablehlo.dot_general" in line]
    assert products
    assert all("xbf16>" in line and "xf32>" not in line for line in products)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_model_itself_has_no_bfloat16(name):
    """The negative control of the test above."""
    make, population, arguments = SHIPPED[name]
    model = make(population, **arguments)
    vars = model.init(jax.random.key(0))
    text = jax.jit(slope(model, rows(population))).lower(vars.params, vars.stats).as_text()
    assert "dot_general" in text
    assert "bf16" not in text


def test_nothing_else_of_a_model_changes():
    model = mlp(people(integers(7)))
    same = {"apply": None, "features": None}
    assert bfloat16(model)._replace(**same) == model._replace(**same)


def test_features_are_computed_in_bfloat16_too():
    make, population, arguments = SHIPPED["mlp"]
    model, batch = bfloat16(make(population, **arguments)), rows(population)
    vars, key = model.init(jax.random.key(0)), jax.random.key(0)
    run = jax.jit(model.features.apply, static_argnums=3)
    products = [line for line in run.lower(vars, batch, key, True).as_text().splitlines() if "dot_general" in line]
    assert len(products) == 2
    assert all("xbf16>" in line and "xf32>" not in line for line in products)
    found, *rest = run(vars, batch, key, True)
    assert types((found, rest)) == {"float32"}
    for mine, other in zip(rest, jax.jit(model.apply, static_argnums=3)(vars, batch, key, True), strict=True):
        np.testing.assert_array_equal(mine, other)


# ---- how far off ----


def product(x, off_x, w, off_w, unit):
    """(x @ w, how far off it may be) where factors are off that far and the result is rounded once.

    unit: the largest relative error of one rounding. Sums are kept in float32, whose own errors are added."""
    reach = (abs(x) + off_x) @ (abs(w) + off_w)
    return x @ w, reach - abs(x) @ abs(w) + (unit + len(w) * 2.0**-24) * reach


def plus(y, off_y, bias, unit):
    off = off_y + unit * abs(bias)
    return y + bias, off + unit * (abs(y + bias) + off)


def bounds(params, x, y, unit):
    """Of a relu layer and a linear one on `x`: (outputs, off), and of the mean of half squared errors against `y`
    (gradient of the head's kernel, off); by the rules of rounding, in float64."""
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    layer, head = params["body"][0], params["head"]
    hidden, off = x, unit * abs(x)
    hidden, off = product(hidden, off, layer["kernel"], unit * abs(layer["kernel"]), unit)
    hidden, off = plus(hidden, off, layer["bias"], unit)
    hidden = np.maximum(hidden, 0)  # brings no two numbers further apart
    out, off_out = product(hidden, off, head["kernel"], unit * abs(head["kernel"]), unit)
    out, off_out = plus(out, off_out, head["bias"], unit)
    gap, off_gap = (out - y) / len(x), off_out / len(x)
    off_gap = off_gap + unit * (abs(gap) + off_gap)  # rounded on the way back
    return (out, off_out), product(hidden.T, off.T, gap, off_gap, unit)


def coarse(tree, bits: int):
    """Numbers cut to `bits` of significand."""
    keep = lambda x: np.ldexp(np.round(np.ldexp(np.frexp(x)[0], bits)), np.frexp(x)[1] - bits).astype(np.float32)
    return jax.tree.map(lambda leaf: jnp.asarray(keep(np.asarray(leaf))), tree)


def test_it_is_off_by_what_8_bits_allow_and_no_less_than_they_cost():
    population = people(integers(7).astype(np.float32) / 255)
    model = mlp(population, (5,))._replace(loss=losses.squared_error())
    vars = model.init(jax.random.key(0))
    x, y = population.arrays["x"], np.random.default_rng(1).normal(size=(ROWS, 4)).astype(np.float32)
    batch = rows(population) | {"y": jnp.asarray(y)}

    def results(model, vars=vars):
        outputs, _ = jax.jit(model.apply, static_argnums=3)(vars, batch, jax.random.key(0), True)
        return outputs, jax.jit(slope(model, batch))(vars.params, vars.stats)[0]["head"]["kernel"]

    for dtype, found in {"bfloat16": results(bfloat16(model)), "float32": results(model)}.items():
        for (exact, off), got in zip(bounds(vars.params, x, y, 2.0 ** -BITS[dtype]), found, strict=True):
            assert (abs(got - exact) <= off).all()
    # Negative controls: it is not float32, and a few bits less would show.
    for (exact, off), got in zip(
        bounds(vars.params, x, y, 2.0 ** -BITS["float32"]), results(bfloat16(model)), strict=True
    ):
        assert (abs(got - exact) > off).any()
    lost = results(model, vars._replace(params=coarse(vars.params, 3)))
    for (exact, off), got in zip(bounds(vars.params, x, y, 2.0 ** -BITS["bfloat16"]), lost, strict=True):
        assert (abs(got - exact) > off).any()


# ---- statistics ----


class NnxNorm(nnx.Module):
    def __init__(self, rngs: nnx.Rngs, dtype=None):
        self.norm = nnx.BatchNorm(3, momentum=0.99, dtype=dtype, rngs=rngs)
        self.head = nnx.Linear(3, 4, rngs=rngs)

    def __call__(self, x):
        return self.head(self.norm(x))


class LinenNorm(linen.Module):
    @linen.compact
    def __call__(self, x, train):
        x = linen.BatchNorm(momentum=0.99, use_running_average=not train, name="norm")(x)
        return linen.Dense(4)(x)


def normed(make: str) -> tuple[Model, dict]:
    batch = {"x": jnp.full((ROWS, 3), 110.0) + jnp.arange(3.0)[None], "y": jnp.zeros(ROWS, jnp.int32)}
    batch["mask"] = jnp.ones(ROWS, bool)
    if make == "nnx":
        return from_nnx(lambda rngs: NnxNorm(rngs, jnp.bfloat16), losses.cross_entropy(), {}), batch
    return from_linen(LinenNorm(), batch, losses.cross_entropy(), {}, train_argument="train"), batch


@pytest.mark.parametrize("make", ["nnx", "linen"])
def test_slow_statistics_still_move(make):
    """From 100 towards 110 by 1 %: in bfloat16, whose neighbours are 0.5 apart there, nothing would move."""
    model, batch = normed(make)
    model = bfloat16(model)
    vars = model.init(jax.random.key(0))
    is_mean = lambda path: "mean" in jax.tree_util.keystr(path)
    hundred = lambda path, leaf: jnp.full_like(leaf, 100.0) if is_mean(path) else leaf
    stats = jax.tree_util.tree_map_with_path(hundred, vars.stats)
    grads, moved = jax.jit(slope(model, batch))(vars.params, stats)
    assert types((grads, moved)) == {"float32"}
    [mean] = [leaf for path, leaf in jax.tree_util.tree_leaves_with_path(moved) if is_mean(path)]
    np.testing.assert_allclose(mean, 100 + 0.01 * np.array([10, 11, 12]), rtol=1e-6)
    assert jnp.bfloat16(100.1) == 100


# ---- refusals ----


class Recurrent(nnx.Module):
    def __init__(self, rngs: nnx.Rngs, dtype=None):
        self.body = nnx.RNN(nnx.GRUCell(3, 5, dtype=dtype, rngs=rngs))
        self.head = nnx.Linear(5, 4, dtype=dtype, rngs=rngs)

    def __call__(self, x):
        return self.head(self.body(x[:, None])[:, -1])


@pytest.mark.parametrize("make", [NnxNorm, Recurrent])
def test_products_that_stay_in_float32_are_refused(make):
    """A layer that promotes would undo the rest in silence. The same layer, told its type, is taken."""
    _, batch = normed("nnx")
    model = bfloat16(from_nnx(make, losses.cross_entropy(), {}))
    vars = model.init(jax.random.key(0))
    with pytest.raises(PflError, match=r"bfloat16: expected every product in bfloat16, got dot_general of float32\[6"):
        model.apply(vars, batch, jax.random.key(0), True)
    told = bfloat16(from_nnx(lambda rngs: make(rngs, jnp.bfloat16), losses.cross_entropy(), {}))
    grads, _ = jax.jit(slope(told, batch))(vars.params, vars.stats)
    assert types(grads) == {"float32"}


def test_clients_side_by_side():
    """Under vmap over parameters, as in a chunk of clients."""
    make, population, arguments = SHIPPED["mlp"]
    model, batch = bfloat16(make(population, **arguments)), rows(population)
    params = model.init(jax.random.key(0)).params
    clients = jax.tree.map(lambda leaf: jnp.stack([leaf, 0.5 * leaf]), params)
    descent = slope(model, batch)
    together = jax.jit(jax.vmap(lambda params: descent(params, {})[0]))(clients)
    traced = jax.make_jaxpr(jax.vmap(lambda params: descent(params, {})[0]))(clients)
    operands = [var.aval for e in equations(traced.jaxpr) if e.primitive.name == "dot_general" for var in e.invars]
    assert {str(aval.dtype) for aval in operands} == {"bfloat16"}
    for index in range(2):
        alone = jax.jit(descent)(jax.tree.map(lambda leaf, index=index: leaf[index], clients), {})[0]
        for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(together), strict=True):
            np.testing.assert_allclose(b[index], a, rtol=2**-7, atol=2**-10)
