"""A model in half the bits: bfloat16 where it multiplies, float32 where it sums up and remembers."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from pfljax.errors import PflError
from pfljax.models.jaxprs import equations
from pfljax.types import Batch, Key, Model, Tree, Vars


def bfloat16(model: Model) -> Model:
    """The same model, computing in bfloat16. Parameters, gradients, statistics, outputs and losses stay float32.

    `apply` is given parameters and the batch's floats in bfloat16; the statistics it gets and gives are float32, in
    which slow averages still move. Integers are passed on as they are.

    When traced, raises PflError if a matmul or convolution is left in float32 because a module casts or promotes: in
    nnx batch norm, embeddings and recurrent cells do; made with `dtype=jnp.bfloat16` they do not.
    """

    features = model.features
    if features is not None:
        features = features._replace(apply=_lowered(features.apply))
    return model._replace(apply=_lowered(model.apply), features=features)


def _lowered(plain: Callable) -> Callable:
    """A model's function (vars, batch, key, train) -> (outputs, ..., stats), computed in bfloat16."""

    def lowered(vars: Vars, batch: Batch, key: Key, train: bool):
        params, batch = _cast((vars.params, dict(batch)), jnp.bfloat16)
        # Statistics in float32 meet activations in bfloat16.
        with jax.numpy_dtype_promotion("standard"):
            *outputs, stats = plain(Vars(params, vars.stats), batch, key, train)
        stats = jax.tree.map(lambda new, old: new.astype(old.dtype), stats, vars.stats)
        return *_cast(outputs, jnp.float32), stats

    def apply(vars: Vars, batch: Batch, key: Key, train: bool):
        _check(jax.make_jaxpr(partial(lowered, train=train))(vars, dict(batch), key).jaxpr)
        return lowered(vars, batch, key, train)

    return apply


def _cast(tree: Tree, dtype) -> Tree:
    """Floats to `dtype`; everything else as it is."""
    return jax.tree.map(lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree)


def _check(jaxpr) -> None:
    for equation in equations(jaxpr):
        if equation.primitive.name in ("dot_general", "conv_general_dilated"):
            types = [var.aval.dtype for var in equation.invars]
            if any(jnp.issubdtype(dtype, jnp.floating) and dtype.itemsize > 2 for dtype in types):
                shapes = " and ".join(var.aval.str_short() for var in equation.invars)
                raise PflError(
                    f"bfloat16: expected every product in bfloat16, got {equation.primitive.name} of {shapes}; "
                    "give the layers around it dtype=jnp.bfloat16"
                )
