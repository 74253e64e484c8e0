"""flax's recurrent cell and attention need no substitute here: with weights per client they are plain products."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from pfljax.local.gradient import mean_loss
from pfljax.models import from_nnx, losses
from pfljax.models.jaxprs import equations

CLIENTS, ROWS, TIME, FEATURES, SYMBOLS = 2, 3, 4, 4, 5


class Recurrent(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.embed = nnx.Embed(SYMBOLS, FEATURES, rngs=rngs)
        self.body = nnx.RNN(nnx.GRUCell(FEATURES, 6, rngs=rngs))
        self.head = nnx.Linear(6, SYMBOLS, rngs=rngs)

    def __call__(self, x):
        return self.head(self.body(self.embed(x))[:, -1])


class Attentive(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.embed = nnx.Embed(SYMBOLS, FEATURES, rngs=rngs)
        self.body = nnx.MultiHeadAttention(2, FEATURES, decode=False, rngs=rngs)
        self.head = nnx.Linear(FEATURES, SYMBOLS, rngs=rngs)

    def __call__(self, x):
        return self.head(self.body(self.embed(x), mask=nnx.make_causal_mask(x, dtype=jnp.bool))[:, -1])


@pytest.mark.parametrize("make", [Recurrent, Attentive])
def test_clients_side_by_side(make):
    """Steps in a loop, weights of their own, against each client alone; no primitive but products holds the weights."""
    model = from_nnx(make, losses.cross_entropy(), {})
    vars = model.init(jax.random.key(0))
    generator = np.random.default_rng(0)
    batch = {
        "x": jnp.asarray(generator.integers(0, SYMBOLS, (CLIENTS, ROWS, TIME)), jnp.int32),
        "y": jnp.asarray(generator.integers(0, SYMBOLS, (CLIENTS, ROWS)), jnp.int32),
        "mask": jnp.ones((CLIENTS, ROWS), bool),
    }

    def client(batch):
        loss = lambda params: mean_loss(model, params, vars.stats, batch, jax.random.key(0))[0]
        step = lambda _, params: jax.tree.map(lambda w, g: w - 0.5 * g, params, jax.grad(loss)(params))
        return lax.fori_loop(jnp.int32(0), jnp.int32(3), step, vars.params)

    together = jax.jit(jax.vmap(client))(batch)
    for index in range(CLIENTS):
        alone = jax.jit(client)(jax.tree.map(lambda leaf, index=index: leaf[index], batch))
        for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(together), strict=True):
            np.testing.assert_allclose(b[index], a, rtol=1e-4, atol=1e-6)
    found = {equation.primitive.name for equation in equations(jax.make_jaxpr(jax.vmap(client))(batch).jaxpr)}
    assert "dot_general" in found
    assert not found & {"conv_general_dilated", "reduce_window", "ragged_dot_general", "pure_callback"}
