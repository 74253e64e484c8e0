"""Which parameters become kernels of lax convolutions: through flax, and through all that JAX nests."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx
from jax import lax

from pfljax.models import from_linen, from_nnx, layers, losses
from pfljax.models.convolutions import per_client_convolutions
from pfljax.types import Model, Vars, Weighted

SIDE, CLASSES = 6, 3


def rows(num: int = 4, channels: int = 1) -> dict[str, jax.ShapeDtypeStruct]:
    shape = jax.ShapeDtypeStruct
    return {
        "x": shape((num, SIDE, SIDE, channels), jnp.float32),
        "y": shape((num,), jnp.int32),
        "mask": shape((num,), bool),
    }


def convolve(x, kernel):
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


# ---- flax ----


class Nnx(nnx.Module):
    def __init__(self, rngs: nnx.Rngs, second=lax.conv_general_dilated):
        self.body = nnx.List(
            [
                nnx.Conv(1, 2, (3, 3), rngs=rngs),
                nnx.Conv(2, 2, (3, 3), conv_general_dilated=second, rngs=rngs),
            ]
        )
        self.head = nnx.Linear(2, CLASSES, rngs=rngs)

    def __call__(self, x):
        for layer in self.body:
            x = jax.nn.relu(layer(x))
        return self.head(x.mean(axis=(1, 2)))


class Linen(linen.Module):
    @linen.compact
    def __call__(self, x):
        x = linen.Conv(2, (3, 3), name="first")(x)
        x = linen.remat(linen.Conv)(2, (3, 3), name="second")(jax.nn.relu(x))
        return linen.Dense(CLASSES)(x.mean(axis=(1, 2)))


class Blurred(nnx.Module):
    """A fixed filter before all that is learned."""

    def __init__(self, rngs: nnx.Rngs):
        self.head = nnx.Linear(SIDE * SIDE, CLASSES, rngs=rngs)

    def __call__(self, x):
        return self.head(convolve(x, jnp.full((3, 3, 1, 1), 1 / 9)).reshape(x.shape[0], -1))


def nnx_model(make) -> Model:
    return from_nnx(make, losses.cross_entropy(), {})


def test_both_convolutions_of_nnx_are_named():
    assert per_client_convolutions(nnx_model(Nnx), rows()) == ("body/0/kernel", "body/1/kernel")


def test_a_convolution_of_patches_is_not():
    model = nnx_model(lambda rngs: Nnx(rngs, layers.conv_general_dilated))
    assert per_client_convolutions(model, rows()) == ("body/0/kernel",)


def test_both_convolutions_of_linen_are_named():
    example = {name: np.zeros(of.shape, of.dtype) for name, of in rows().items()}
    model = from_linen(Linen(), example, losses.cross_entropy(), {})
    assert per_client_convolutions(model, rows()) == ("first/kernel", "second/kernel")


def test_a_fixed_filter_is_not_named():
    assert per_client_convolutions(nnx_model(Blurred), rows()) == ()


def test_a_transposed_convolution_is_named():
    make = lambda rngs: nnx.ConvTranspose(1, 2, (3, 3), rngs=rngs)
    assert per_client_convolutions(nnx_model(make), rows()) == ("kernel",)


def test_nothing_is_computed():
    assert len(per_client_convolutions(nnx_model(Nnx), rows(10**9))) == 2


# ---- what JAX nests ----


def plain(forward) -> Model:
    """Kernels `a` and `b` and a `scale`, in forward(params, x)."""
    kernel = jnp.ones((3, 3, 1, 1))
    apply = lambda vars, batch, key, train: (forward(vars.params, batch["x"]), ())
    loss = lambda outputs, batch: Weighted(outputs, outputs)
    return Model(lambda key: Vars({"a": kernel, "b": kernel, "scale": jnp.ones(())}), apply, loss, ())


def standardized(params, x):
    """Whatever is done to a kernel on its way, it is a client's own."""
    kernel = (params["a"] - params["a"].mean()) * params["scale"]
    turned = lax.transpose(kernel, (1, 0, 2, 3)).reshape(9).astype(jnp.bfloat16).reshape(3, 3, 1, 1)
    return convolve(x, turned.astype(jnp.float32)) + params["b"].sum()


def as_image(params, x):
    """A parameter that is convolved is no kernel."""
    return convolve(x * params["a"].sum(), jnp.ones((3, 3, 1, 1)))


def scanned(params, x):
    return lax.scan(lambda x, kernel: (convolve(x, kernel), None), x, jnp.stack([params["a"], params["b"]]))[0]


def of_one_scan(params, x):
    step = lambda x, each: (convolve(x, params["a"]) * each.sum(), None)
    return lax.scan(step, x, jnp.stack([params["b"], params["b"]]))[0]


def exchanged(params, x):
    """The kernels swap places in the carry, so both meet the convolution."""
    step = lambda carry, _: ((convolve(carry[0], carry[1]), carry[2], carry[1]), None)
    return lax.scan(step, (x, params["a"], params["b"]), length=3)[0][0]


def exchanged_while(params, x):
    step = lambda carry: (carry[0] + 1, convolve(carry[1], carry[2]), carry[3], carry[2])
    limit = params["scale"]
    done = lambda carry: carry[0].astype(jnp.float32) < limit
    return lax.while_loop(done, step, (jnp.int32(0), x, params["a"], params["b"]))[1]


def with_constants_while(params, x):
    step = lambda carry: (carry[0] + 1, convolve(carry[1], params["b"]))
    return lax.while_loop(lambda carry: carry[0] < 3, step, (jnp.int32(0), x))[1]


def branched(params, x):
    one, other = lambda x, a, b: convolve(x, b), lambda x, a, b: x * a.sum()
    return lax.cond(params["scale"] > 0, one, other, x, params["a"], params["b"])


def chosen(params, x):
    """Which kernel it will be is not known: both are named."""
    kernel = lax.cond(x.sum() > 0, lambda a, b: a, lambda a, b: b, params["a"], params["b"])
    return convolve(x, kernel)


def solved(params, x):
    """A primitive with jaxprs of its own kind."""
    half = lax.custom_linear_solve(lambda v: 2 * v, params["a"], lambda _, b: b / 2, symmetric=True)
    return convolve(x, half)


def rematerialized(params, x):
    return jax.checkpoint(lambda x, kernel: jax.jit(convolve)(x, kernel))(x, params["b"])


def custom(params, x):
    @jax.custom_vjp
    def odd(kernel, x):
        return convolve(x, kernel)

    odd.defvjp(lambda kernel, x: (odd(kernel, x), (kernel, x)), lambda kept, g: kept)
    even = jax.custom_jvp(lambda x, kernel: convolve(x, kernel))
    even.defjvp(lambda primals, tangents: (even(*primals), tangents[0]))
    return even(odd(params["a"], x), params["b"])


def mapped(params, x):
    """What is here is what is found: vmap over kernels leaves a convolution whose kernel is theirs."""
    return jax.vmap(convolve, in_axes=(None, 0))(x, jnp.stack([params["a"], params["a"]]))[0]


@pytest.mark.parametrize(
    ("forward", "names"),
    [
        (standardized, ("a", "scale")),
        (as_image, ()),
        (scanned, ("a", "b")),
        (of_one_scan, ("a",)),
        (exchanged, ("a", "b")),
        (exchanged_while, ("a", "b")),
        (with_constants_while, ("b",)),
        (branched, ("b",)),
        (chosen, ("a", "b")),
        (solved, ("a",)),
        (rematerialized, ("b",)),
        (custom, ("a", "b")),
        (mapped, ("a",)),
    ],
)
def test_names_follow_the_kernel(forward, names):
    assert per_client_convolutions(plain(forward), rows()) == names
