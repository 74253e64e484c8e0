"""The method that docs/write_your_own.md writes is what it says, and the template that it starts from works."""

import re
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

import pfljax as pfl
from pfljax.algorithms._template import template
from tests.support.zoo import people, tiny_model

PAGE = (Path(__file__).parents[2] / "docs" / "write_your_own.md").read_text()


@pytest.fixture(scope="module")
def page() -> dict:
    namespace: dict = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(block, namespace)
    return namespace


@pytest.mark.parametrize("name", ["test_alpha_one_is_fedavg", "test_three_rounds_of_the_box"])
def test_the_pages_own_tests(page, name):
    page[name]()


def test_the_template_runs_and_keeps_what_it_says():
    population = people()
    model = tiny_model(population)
    run = lambda algorithm: pfl.simulate(algorithm, population, cohort=4, rounds=1, devices=1)
    whole = run(template(model, optax.sgd(0.1), share=1.0, batch=4))
    fedavg = run(pfl.algorithms.fedavg(model, optax.sgd(0.1), batch=4))
    jax.tree.map(np.testing.assert_array_equal, whole.vars, fedavg.vars)
    half = run(template(model, optax.sgd(0.1), share=0.5, batch=4))
    row = int(np.flatnonzero(np.asarray(whole.clients.visited))[0])
    start = fedavg.server.vars._replace(params=jax.tree.map(lambda w, d: w + d, whole.vars.params, whole.server.extra))
    for begin, kept, middle in zip(
        *(jax.tree.leaves(tree.params) for tree in (start, whole.clients.kept, half.clients.kept)), strict=True
    ):
        np.testing.assert_allclose(middle[row], (np.asarray(begin) + np.asarray(kept[row])) / 2, atol=1e-6)
    with pytest.raises(pfl.PflError, match="share: expected a number from 0 to 1, got 2"):
        template(model, share=2)
