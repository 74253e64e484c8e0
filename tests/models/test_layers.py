"""The convolution of patches against lax's own, the pools against flax's: values, gradients, and what is compiled."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from pfljax.errors import PflError
from pfljax.models import layers

STEADY = settings(deadline=None, derandomize=True, max_examples=25)
NHWC = ("NHWC", "HWIO", "NHWC")
LAST = {1: ("NWC", "WIO", "NWC"), 2: NHWC, 3: ("NDHWC", "DHWIO", "NDHWC")}
FIRST = {1: ("NCW", "OIW", "NCW"), 2: ("NCHW", "OIHW", "NCHW"), 3: ("NCDHW", "OIDHW", "NCDHW")}
MIXED = {1: ("CWN", "IWO", "WNC"), 2: ("HNWC", "OHIW", "CNHW"), 3: ("DNHCW", "IDHWO", "NDCHW")}


def signs(shape, dtype=jnp.float32, seed: int = 0) -> jax.Array:
    """-1, 0 and 1: sums of their products are exact in every float that is used here, in whatever order."""
    return jnp.asarray(np.random.default_rng(seed).integers(-1, 2, shape), dtype)


def arranged(spec: str, order: str, sizes) -> tuple[int, ...]:
    """Sizes in the order of `order`, for a layout such as NCHW. Spatial letters come in the kernel's order."""
    return tuple(sizes[order.index(letter)] for letter in spec)


@st.composite
def convolutions(draw):
    """(lhs shape, rhs shape, keywords, dtype, bytes of a piece)"""
    num_axes = draw(st.integers(1, 3))
    each = lambda low, high: draw(st.tuples(*[st.integers(low, high)] * num_axes))
    batch, groups, depth, out = (draw(st.integers(1, top)) for top in (4, 2, 3, 2))
    specs = draw(st.sampled_from([LAST, FIRST, MIXED, {num_axes: None}]))[num_axes]
    letters = "DHW"[-num_axes:]
    layout = specs or FIRST[num_axes]
    rhs = arranged(layout[1], f"{letters}IO", (*each(1, 3), depth, out * groups))
    lhs = arranged(layout[0], f"N{letters}C", (batch, *each(1, 6), depth * groups))
    padding = draw(st.sampled_from(["SAME", "VALID", "SAME_LOWER", None]))
    if padding is None:
        padding = tuple(zip(each(-1, 2), each(-1, 2), strict=True))
    keywords = {
        "window_strides": each(1, 2),
        "padding": padding,
        "lhs_dilation": None if isinstance(padding, str) else draw(st.sampled_from([None, each(1, 2)])),
        "rhs_dilation": draw(st.sampled_from([None, each(1, 2)])),
        "dimension_numbers": specs,
        "feature_group_count": groups,
    }
    dtype, wide = draw(st.sampled_from([("float32", None), ("bfloat16", None), ("bfloat16", "float32")]))
    return lhs, rhs, keywords | {"preferred_element_type": wide}, dtype, draw(st.sampled_from([0, 200, 2**20]))


def both(function, x, kernel, **keywords):
    """(result, (gradients of its product with signs))"""
    out, pull = jax.vjp(partial(function, **keywords), x, kernel)
    return out, pull(signs(out.shape, out.dtype, 2))


@STEADY
@given(case=convolutions())
def test_any_convolution_is_laxs(case):
    """Values and both gradients to the bit, on a CPU in one piece and in several."""
    lhs, rhs, keywords, dtype, piece = case
    x, kernel = signs(lhs, dtype), signs(rhs, dtype, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers, "LARGE", piece)
        patch.setattr(layers, "PIECE", piece)
        mine = jax.jit(partial(both, layers.conv_general_dilated, **keywords))(x, kernel)
    its = jax.jit(partial(both, lax.conv_general_dilated, **keywords))(x, kernel)
    for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(its), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_array_equal(a.astype(jnp.float32), b.astype(jnp.float32))


@pytest.mark.parametrize(("layout", "groups"), [(LAST, 1), (FIRST, 2)])
def test_every_client_its_kernel(layout, groups):
    """vmap over kernels and inputs, as in a chunk of clients, against a Python loop of lax's convolutions."""
    keywords = {"window_strides": (1, 2), "padding": "SAME", "dimension_numbers": layout[2]}
    keywords["feature_group_count"] = groups
    x = signs((3, *arranged(layout[2][0], "NHWC", (2, 5, 4, 4))))
    kernels = signs((3, *arranged(layout[2][1], "HWIO", (3, 2, 4 // groups, 6))), seed=1)
    found = jax.jit(jax.vmap(partial(both, layers.conv_general_dilated, **keywords)))(x, kernels)
    one = jax.jit(partial(both, lax.conv_general_dilated, **keywords))
    for index in range(3):
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(one(x[index], kernels[index])), strict=True):
            np.testing.assert_array_equal(a[index], b)


@pytest.mark.parametrize("piece", [0, 2**20])
def test_second_derivatives(piece, monkeypatch):
    """Reverse over reverse (MAML) and forward over reverse (Hessian products)."""
    monkeypatch.setattr(layers, "LARGE", piece)
    monkeypatch.setattr(layers, "PIECE", piece)
    x, kernel, direction = signs((2, 5, 4, 2)), signs((3, 3, 2, 3), seed=1), signs((3, 3, 2, 3), seed=2)

    def derivatives(function, x, kernel, direction):
        convolve = partial(function, window_strides=(1, 1), padding="SAME", dimension_numbers=NHWC)
        slope = jax.grad(lambda kernel: jnp.sum(jnp.sin(convolve(convolve(x, kernel[..., :2]), kernel))))
        product = jax.jvp(slope, (kernel,), (direction,))[1]
        return product, jax.grad(lambda kernel: jnp.sum(slope(kernel) * direction))(kernel)

    forward, backward = jax.jit(partial(derivatives, layers.conv_general_dilated))(x, kernel, direction)
    expected = jax.jit(partial(derivatives, lax.conv_general_dilated))(x, kernel, direction)[1]
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(forward, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(backward, expected, rtol=1e-4, atol=1e-4)


# ---- what is compiled ----


def lowered(function, *arguments) -> str:
    return jax.jit(function).lower(*arguments).compile().as_text()


@pytest.mark.parametrize(("convolution", "is_there"), [(layers.conv_general_dilated, False), (None, True)])
def test_no_convolution_is_left(convolution, is_there):
    """Descent over steps, for clients side by side, gradients included. lax's own is the negative control."""
    chosen = {} if convolution is None else {"conv_general_dilated": convolution}
    module = nnx.Conv(2, 3, (3, 3), rngs=nnx.Rngs(0), **chosen)
    graph, params = nnx.split(module)

    def client(params, x):
        loss = lambda params: jnp.sum(jnp.tanh(nnx.merge(graph, params, copy=True)(x)))
        step = lambda _, params: jax.tree.map(lambda w, g: w - 0.1 * g, params, jax.grad(loss)(params))
        return lax.fori_loop(0, 3, step, params)

    text = lowered(jax.vmap(client, in_axes=(None, 0)), params, signs((2, 4, 6, 6, 2)))
    assert (" convolution(" in text) == is_there


def test_only_large_batches_go_in_pieces_and_only_on_a_cpu():
    keywords = {"window_strides": (1, 1), "padding": "VALID", "dimension_numbers": NHWC}
    convolve = partial(layers.conv_general_dilated, **keywords)
    shapes = lambda batch, side: (jnp.zeros((batch, side, side, 8)), jnp.zeros((3, 3, 8, 4)))
    small, large = shapes(4, 30), shapes(12, 66)  # 0.9 and 13.5 MiB of patches
    loops = lambda arguments, platform: (
        "while" in jax.jit(convolve).trace(*arguments).lower(lowering_platforms=(platform,)).as_text()
    )
    assert [loops(arguments, "cpu") for arguments in (small, large)] == [False, True]
    assert [loops(arguments, "tpu") for arguments in (small, large)] == [False, False]


# ---- inside flax ----


@pytest.mark.parametrize(
    ("size", "keywords"),
    [
        ((3, 2), {"padding": "SAME", "strides": 2}),
        ((3, 3), {"padding": "CIRCULAR", "feature_group_count": 2}),
        ((3,), {"padding": "CAUSAL", "kernel_dilation": 2}),
        ((2, 2), {"padding": [(1, 0), 2], "input_dilation": (2, 3), "dtype": jnp.bfloat16}),
    ],
)
def test_flax_takes_it(size, keywords):
    x = signs((2, *[5] * len(size), 4), keywords.get("dtype", jnp.float32))
    outputs = []
    for convolution in (lax.conv_general_dilated, layers.conv_general_dilated):
        made = keywords | {"conv_general_dilated": convolution, "kernel_init": lambda key, *of: signs(*of)}
        outputs.append(jax.jit(nnx.Conv(4, 6, size, rngs=nnx.Rngs(0), **made))(x))
        module = linen.Conv(6, size, **made)
        outputs.append(jax.jit(module.apply)(module.init(jax.random.key(0), x), x))
    assert np.abs(outputs[0].astype(jnp.float32)).max() > 1
    for other in outputs[1:]:
        assert other.dtype == outputs[0].dtype
        np.testing.assert_array_equal(other.astype(jnp.float32), outputs[0].astype(jnp.float32))


# ---- refusals ----


def test_what_is_not_there_is_refused():
    x, kernel = signs((4, 3, 3, 2)), signs((2, 2, 2, 4))
    convolve = partial(layers.conv_general_dilated, x, kernel, (1, 1), "VALID", dimension_numbers=NHWC)
    with pytest.raises(PflError, match="expected batch_group_count=1 and out_sharding=None, got 2 and None"):
        convolve(batch_group_count=2)
    with pytest.raises(PflError, match="out_sharding=None, got 1 and P"):
        convolve(out_sharding=jax.sharding.PartitionSpec())


@pytest.mark.parametrize(
    "wrong",
    [
        {"rhs": signs((2, 2, 3, 4))},
        {"rhs": signs((2, 2, 2, 4), jnp.bfloat16)},
        {"padding": "same-ish"},
        {"window_strides": (1,)},
        {"feature_group_count": 3},
        {"padding": "SAME", "lhs_dilation": (2, 2)},
    ],
)
def test_laxs_errors_are_kept(wrong):
    given = {"lhs": signs((4, 3, 3, 2)), "rhs": signs((2, 2, 2, 4)), "window_strides": (1, 1), "padding": "VALID"}
    given |= {"dimension_numbers": NHWC} | wrong
    messages = []
    for function in (lax.conv_general_dilated, layers.conv_general_dilated):
        with pytest.raises((TypeError, ValueError, RuntimeError)) as caught:
            function(**given)
        messages.append((caught.type, str(caught.value)))
    assert messages[0] == messages[1]


# ---- pools ----

POOLS = pytest.mark.parametrize("kind", ["max", "avg"])


def pools(kind: str):
    return {"max": (layers.max_pool, linen.max_pool), "avg": (layers.avg_pool, linen.avg_pool)}[kind]


@POOLS
@pytest.mark.parametrize(
    ("image", "window", "strides"),
    [
        ((6, 4), (2, 2), None),
        ((7, 5), (2, 3), None),
        ((8,), (3,), (3,)),
        ((4, 5, 3), (2, 2, 2), None),
        ((7, 5), (3, 2), (2, 1)),
        ((5,), (3,), (1,)),
        ((2, 5), (3, 2), None),
        ((2, 5), (3, 2), (1, 1)),
    ],
)
def test_pools_are_flaxs(kind, image, window, strides):
    """On numbers without ties; windows that fit nowhere included."""
    mine, its = pools(kind)
    x = jnp.asarray(np.random.default_rng(0).permutation(6 * int(np.prod(image))), jnp.float32).reshape(3, *image, 2)
    found, pull = jax.vjp(jax.jit(lambda x: mine(x, window, strides)), x)
    with jax.numpy_dtype_promotion("standard"):  # flax divides by an integer
        expected, pull_expected = jax.vjp(jax.jit(lambda x: its(x, window, strides or window)), x)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(*(pull(signs(found.shape))[0] for pull in (pull, pull_expected)), atol=1e-6)


@pytest.mark.parametrize("strides", [None, (1,)])
def test_ties_share_the_gradient_equally(strides):
    slope = lambda pool, strides: jax.grad(lambda x: pool(x, (2,), strides).sum())(jnp.zeros((1, 2, 1))).ravel()
    np.testing.assert_array_equal(slope(layers.max_pool, strides), [0.5, 0.5])
    np.testing.assert_array_equal(slope(linen.max_pool, (2,)), [1, 0])  # where flax differs


@POOLS
@pytest.mark.parametrize("strides", [None, (1, 1)])
def test_pools_keep_the_type_and_leave_no_window(kind, strides):
    pool = pools(kind)[0]
    slope = lambda x: jax.grad(lambda x: pool(x, (2, 2), strides).astype(jnp.float32).sum())(x)
    x = signs((2, 4, 4, 3), jnp.bfloat16)
    assert pool(x, (2, 2), strides).dtype == slope(x).dtype == jnp.bfloat16
    text = lowered(slope, x)
    assert not any(word in text for word in ("reduce-window", "select-and-scatter", "convolution"))


def test_a_vmap_of_pools_is_a_loop_of_pools():
    x = signs((3, 2, 5, 4, 2))
    for pool, strides in itertools.product((layers.max_pool, layers.avg_pool), (None, (1, 2))):
        together = jax.vmap(lambda x, pool=pool, strides=strides: pool(x, (2, 2), strides))(x)
        np.testing.assert_array_equal(together, jnp.stack([pool(each, (2, 2), strides) for each in x]))
