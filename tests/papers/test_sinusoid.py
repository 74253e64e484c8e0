"""Published behaviour: sinusoids, Finn et al., ICML 2017, figure 2. Bands, for the paper has curves, no figures."""

import sys
from pathlib import Path

import jax
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from reproductions import sinusoid

ROUNDS = 2_000


@pytest.mark.slow
def test_maml_adapts_where_pretraining_cannot():
    """Ten shots of new tasks: one step helps MAML's start at once, and pretraining's stays near where it was."""
    with jax.numpy_dtype_promotion("standard"):  # optax's Adam needs it
        trained = sinusoid.train(sinusoid.maml(), ROUNDS, seed=0)
        pretrained = sinusoid.train(sinusoid.pretraining(), ROUNDS, seed=0)
    before, *after = sinusoid.errors(trained, sinusoid.INNER_LR, seed=0)
    others = [sinusoid.errors(pretrained, lr, seed=0) for lr in sinusoid.PRETRAINED_LRS]
    assert 2.0 < before < 5.0  # the mean sine wave says little about any
    assert after[0] < 1.5
    assert after[-1] < min(0.9, after[0])
    assert min(figures[1] for figures in others) > 2.0
    assert min(min(figures) for figures in others) > 2 * after[-1]
