"""Mime: one step by everybody is the base optimizer's own, and its correction cancels the batch."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

import pfljax as pfl
from tests.support import parity
from tests.support.trajectory import on_noisy

LR = 0.1


def test_one_step_by_everybody_is_the_centralised_optimizer():
    """Adam on the mean full gradient, statistics and their bias corrections and all, over three rounds."""
    opt = optax.adam(LR)
    algorithm = pfl.algorithms.mime(parity.model(), opt, steps=1, batch=2)
    with jax.numpy_dtype_promotion("standard"):  # optax's own bias correction promotes
        population, a, centres, result = on_noisy(algorithm, rounds=3)
    shares = population.sizes("train") / population.sizes("train").sum()
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        w = jnp.full(parity.DIM, parity.START)
        state = opt.init(w)
        for _ in range(3):
            grad = np.einsum("k,kij,kj->i", shares, a, np.asarray(w) - centres)
            updates, state = opt.update(jnp.asarray(grad), state, w)
            w = optax.apply_updates(w, updates)
    np.testing.assert_allclose(result.vars.params["w"], w, rtol=0, atol=1e-12)


def test_the_correction_takes_the_batch_out():
    """SVRG: g(y; b) - g(x; b) + c is A_i (y - x) + c whatever rows b holds, if they are the same in both."""
    num_steps, rounds = 4, 2
    algorithm = pfl.algorithms.mime(parity.model(), optax.sgd(LR), steps=num_steps, batch=2)
    population, a, centres, result = on_noisy(algorithm, rounds)
    shares = population.sizes("train") / population.sizes("train").sum()
    x = np.full(parity.DIM, parity.START)
    for _ in range(rounds):
        c = np.einsum("k,kij,kj->i", shares, a, x - centres)
        ends = []
        for a_i in a:
            y = x
            for _ in range(num_steps):
                y = y - LR * (a_i @ (y - x) + c)
            ends.append(y)
        x = shares @ ends
    np.testing.assert_allclose(result.vars.params["w"], x, rtol=0, atol=1e-12)
    lite = pfl.algorithms.mimelite(parity.model(), optax.sgd(LR), steps=num_steps, batch=2)
    assert np.abs(np.asarray(on_noisy(lite, rounds)[3].vars.params["w"]) - x).max() > 1e-2  # the batches do matter
