"""Counts against counts by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from pfljax.gate.operations import Operations, equations, operations


def of(fn, *arguments) -> Operations:
    return operations(jax.make_jaxpr(fn)(*arguments))


def ones(*shape) -> jax.Array:
    return jnp.ones(shape, jnp.float32)


def step(x):
    return x * 2.0 + 1.0  # two operations an element


@pytest.mark.parametrize(
    ("fn", "arguments", "floating"),
    [
        (jnp.dot, (ones(3, 5), ones(5, 7)), 2 * 3 * 5 * 7),
        (lambda x, y: jnp.einsum("bij,bjk->bik", x, y), (ones(4, 3, 5), ones(4, 5, 7)), 4 * 2 * 3 * 5 * 7),
        (lambda x, y: jnp.einsum("bij,bij->b", x, y), (ones(4, 3, 5), ones(4, 3, 5)), 4 * 2 * 3 * 5),
        (lax.ragged_dot, (ones(6, 4), ones(2, 4, 5), jnp.array([2, 4])), 2 * 6 * 4 * 5),
        (lambda x: x + x, (ones(3, 5),), 15),
        (lambda x: x > 0.0, (ones(7),), 7),  # a comparison of floats
        (lambda x: jnp.sum(x, axis=1), (ones(3, 5),), 15),
        (lambda x: lax.cumsum(x), (ones(6),), 6),
        (lambda x: jnp.argmax(x, axis=1), (ones(3, 5),), 15),
        (lambda x: lax.reduce(x, jnp.float32(0), lambda a, b: a + b * 2.0, (0,)), (ones(6),), 12),
        (lambda x: lax.sort(x), (ones(3, 8),), 24 * 3),
        (lambda x, y: x.at[jnp.array([0, 2])].add(y), (ones(9, 4), ones(2, 4)), 8),
        (lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (2, 2), (2, 2), "VALID"), (ones(4, 6),), 6 * 4),
        (lambda x: jnp.linalg.cholesky(x, symmetrize_input=False), (jnp.eye(4, dtype=jnp.float32),), 4**3 + 16),
        (lambda x: jnp.reshape(x.T, -1)[2:5], (ones(3, 5),), 0),
        (lambda x: x[jnp.array([0, 1])], (ones(3, 5),), 0),
        (lambda x: x * 3 + x, (jnp.arange(5),), 0),  # integers
        (lambda x, y: x @ y, (jnp.ones((3, 5), jnp.int32), jnp.ones((5, 7), jnp.int32)), 0),
        (lambda x: lax.convert_element_type(x, jnp.float32), (1.0,), 0),  # only no longer weak
        (lambda x: x.astype(jnp.float32) / 255.0, (jnp.ones(6, jnp.uint8),), 12),
    ],
)
def test_primitives(fn, arguments, floating):
    assert of(fn, *arguments).floating == floating


def test_transcendentals_are_counted_apart_too():
    assert of(lambda x: jnp.exp(x) + jnp.tanh(x), ones(5)) == Operations(15, 10, 0)


@pytest.mark.parametrize(
    ("fn", "floating"),
    [
        (lambda x: lax.scan(lambda c, _: (step(c), None), x, None, length=7)[0], 7 * 6),
        (lambda x: lax.fori_loop(0, 4, lambda _, c: step(c), x), 4 * 6),
        (lambda x: lax.fori_loop(0, 4, lambda _, c: lax.fori_loop(0, 5, lambda _, d: step(d), c), x), 20 * 6),
        (lambda x: lax.fori_loop(0, 0, lambda _, c: step(c), x), 0),
        (lambda x: jax.jit(step)(x), 6),
        (lambda x: jax.checkpoint(step)(x), 6),
        (lambda x: jax.nn.relu(x), 3),  # a custom derivative's primal
        (lambda x: lax.cond(x[0] > 0, step, lambda y: step(step(y)), x), 1 + 12),
        (lambda x: lax.switch(jnp.int32(1), [lambda y: y, step, jnp.exp], x), 6),
        (lambda x: jax.vmap(step)(x), 6),
        (lambda x: jax.jit(lambda n: (n.astype(jnp.float32) * 2.0).astype(jnp.int32))(jnp.arange(3)), 9),
    ],
)
def test_structure(fn, floating):
    assert of(fn, ones(3)).floating == floating
    assert of(fn, ones(3)).unknown_loops == 0


def test_custom_vjp_is_its_primal():
    @jax.custom_vjp
    def square(x):
        return x * x

    square.defvjp(lambda x: (x * x, x), lambda x, g: (2.0 * x * g,))
    assert of(square, ones(3)).floating == 3
    assert of(jax.grad(lambda x: square(x).sum()), ones(3)).floating > 6


def test_shard_map_is_one_device():
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:2]), ("clients",))
    here = jax.sharding.PartitionSpec("clients")
    assert of(jax.shard_map(step, mesh=mesh, in_specs=here, out_specs=here), ones(8)).floating == 2 * 4


def test_a_loop_of_unknown_length_counts_once_and_is_reported():
    dynamic = lambda x, n: lax.fori_loop(jnp.int32(0), n, lambda _, c: step(c), x)
    assert of(dynamic, ones(3), jnp.int32(9)) == Operations(6, 0, 1)
    nested = lambda x, n: lax.fori_loop(0, 5, lambda _, c: dynamic(c, n), x)
    assert of(nested, ones(3), jnp.int32(9)) == Operations(30, 0, 1)
    halved = lambda x: lax.while_loop(lambda c: c[0] > 1.0, lambda c: c * 0.5, x)
    assert of(halved, ones(3)) == Operations(3 + 1, 0, 1)


CONVOLUTIONS = {
    "plain": (dict(window_strides=(1, 1), padding="VALID"), (2, 3, 6, 5), (4, 3, 3, 2)),
    "padded": (dict(window_strides=(1, 1), padding="SAME"), (2, 3, 6, 5), (4, 3, 3, 3)),
    "strided": (dict(window_strides=(2, 3), padding=((1, 0), (2, 1))), (1, 2, 7, 8), (3, 2, 3, 3)),
    "dilated": (
        dict(window_strides=(1, 2), padding=((1, 0), (0, 2)), lhs_dilation=(2, 3), rhs_dilation=(2, 1)),
        (1, 2, 5, 4), (3, 2, 2, 3),
    ),
    "feature groups": (dict(window_strides=(1, 1), padding="SAME", feature_group_count=2), (2, 4, 5, 5), (6, 2, 3, 3)),
    "batch groups": (dict(window_strides=(1, 1), padding="SAME", batch_group_count=2), (4, 3, 5, 5), (6, 3, 3, 3)),
}  # fmt: skip


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions_count_what_meets_a_real_input(name):
    """Of ones with ones, each output is the number of its multiplications."""
    arguments, lhs, rhs = CONVOLUTIONS[name]
    convolve = lambda x, w: lax.conv_general_dilated(x, w, **arguments)
    assert of(convolve, ones(*lhs), ones(*rhs)).floating == 2 * int(convolve(ones(*lhs), ones(*rhs)).sum())


def test_convolutions_in_another_layout():
    arguments = dict(window_strides=(1, 1), padding="SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    convolve = lambda x, w: lax.conv_general_dilated(x, w, **arguments)
    x, w = ones(2, 6, 5, 3), ones(3, 3, 3, 4)
    assert of(convolve, x, w).floating == 2 * int(convolve(x, w).sum())


def test_the_gradient_of_a_layer_is_three_products():
    """d/dw and d/dx of sum((x w)^2) / 2: the product, and one more for each."""
    loss = lambda w, x: 0.5 * jnp.sum(jnp.square(x @ w))
    jaxpr = jax.make_jaxpr(jax.grad(loss, argnums=(0, 1)))(ones(5, 7), ones(3, 5))
    products = [e for e in equations(jaxpr) if e.primitive.name == "dot_general"]
    assert len(products) == 3
    assert 3 * 2 * 3 * 5 * 7 < operations(jaxpr).floating < 3 * 2 * 3 * 5 * 7 + 10 * 3 * 7


def test_equations_are_found_at_every_depth():
    nested = lambda x: lax.fori_loop(0, 3, lambda _, c: jax.jit(jnp.sin)(c), x)
    names = [e.primitive.name for e in equations(jax.make_jaxpr(nested)(1.0))]
    assert names.count("sin") == 1
    assert "scan" in names
