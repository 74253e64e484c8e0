"""Ditto's point estimation: clients' means theta_k ~ N(theta, tau^2), n samples of variance sigma^2 each.

v_k = (lam w + mean_k) / (1 + lam), and the lam that is best for the theta_k is sigma^2 / (n tau^2) (section 3.3).
Every coordinate is an experiment of its own: their mean has next to no noise left.
"""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import pfljax as pfl
from pfljax import local
from pfljax.types import Model, Vars, Weighted
from tests.support import closed

CLIENTS, SAMPLES, SIGMA, TAU, EXPERIMENTS = 8, 30, 0.8, 0.1, 3000
BEST = SIGMA**2 / (SAMPLES * TAU**2)


def distance_to_samples() -> Model:
    apply = lambda vars, batch, key, train: (vars.params["w"][None] - batch["x"], vars.stats)
    loss = lambda outputs, batch: Weighted(0.5 * (outputs**2).sum(axis=-1), jnp.ones(outputs.shape[:1], outputs.dtype))
    return Model(lambda key: Vars({"w": jnp.zeros(EXPERIMENTS)}), apply, loss, ())


def expected_error(lam):
    """The mean of (v_k - theta_k)^2, where w is the mean of all clients' means."""
    noise, rest = SIGMA**2 / SAMPLES, (CLIENTS - 1) / CLIENTS
    shrink = lam / (1 + lam)
    return noise - 2 * shrink * noise * rest + shrink**2 * (noise + TAU**2) * rest


def test_point_estimation():
    generator = np.random.default_rng(0)
    truth = TAU * generator.normal(size=(CLIENTS, EXPERIMENTS))
    samples = truth[:, None] + SIGMA * generator.normal(size=(CLIENTS, SAMPLES, EXPERIMENTS))
    population = pfl.data.Population.from_clients({k: {"x": x} for k, x in enumerate(samples)}, (1.0, 0.0, 0.0))
    lams = [0.0, BEST / 3, BEST, 3 * BEST]
    exact = lambda sent: local.sgd(1 / (1 + sent.hyper["lam"]))  # one step reaches the minimum, and one the mean
    algorithm = pfl.algorithms.ditto(distance_to_samples(), optax.sgd(1.0), personal_opt=exact, steps=1, batch=None)
    results = closed.run(algorithm, population, 2, seeds=[0], hyper={"lam": lams})
    means = samples.mean(axis=1)
    errors = []
    for lam, result in zip(lams, results, strict=True):
        np.testing.assert_allclose(closed.shared(result), means.mean(axis=0), rtol=0, atol=1e-12)
        closed_form = (lam * means.mean(axis=0) + means) / (1 + lam)
        np.testing.assert_allclose(closed.own(result), closed_form, rtol=0, atol=1e-12)
        errors.append(((closed.own(result) - truth) ** 2).mean())
    np.testing.assert_allclose(errors, [expected_error(lam) for lam in lams], rtol=0.04)
    assert np.argmin(errors) == lams.index(BEST)
    np.testing.assert_allclose(expected_error(BEST), 0.0086241, atol=1e-6)  # the figure for 8 clients


@pytest.mark.parametrize("lam", [-0.1, float("nan")])
def test_a_pull_away_is_refused(lam, model):
    with pytest.raises(pfl.PflError, match="lam: expected a number of at least 0"):
        pfl.algorithms.ditto(model, lam=lam, steps=1)
