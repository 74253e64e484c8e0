"""FedRoD. Chen, Chao, ICLR 2022, section 4, in numpy, on logits x body (head), without hidden layers' nonlinearity.

Generic part (body, head): balanced softmax, -log n_y exp(g_y) / sum_c n_c exp(g_c) with n_c the client's rows of class
c (eq. 7). Personal head: plain softmax of the sum of logits, on features and generic logits that it leaves alone.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import pfljax as pfl
from pfljax.models import losses
from pfljax.types import Model, Vars
from tests.support import parts

DIM, WIDTH, CLASSES, LR = 3, 2, 3, 0.2
BODY = np.random.default_rng(3).normal(size=(DIM, WIDTH))
HEAD = np.random.default_rng(4).normal(size=(WIDTH, CLASSES))


def model() -> Model:
    init = lambda key: Vars({"body": {"kernel": jnp.asarray(BODY)}, "head": {"kernel": jnp.asarray(HEAD)}})

    def apply(vars, batch, key, train):
        return batch["x"] @ vars.params["body"]["kernel"] @ vars.params["head"]["kernel"], vars.stats

    ones = lambda batch: jnp.ones(batch["mask"].shape, batch["x"].dtype)
    return Model(init, apply, losses.cross_entropy(ones), (("accuracy", losses.accuracy()),))


def population() -> pfl.data.Population:
    """Ragged clients of uneven classes; client r0 has no row of class 2."""
    generator, clients = np.random.default_rng(2), {}
    for index in range(5):
        y = np.sort(generator.integers(0, CLASSES, 5 + index)).astype(np.int32)
        y = np.minimum(y, 1) if index == 0 else y
        clients[f"r{index}"] = {"x": generator.normal(size=(5 + index, DIM)) + y[:, None], "y": y}
    about = pfl.data.About(num_classes=CLASSES)
    return pfl.data.Population.from_clients(clients, split=(1.0, 0.0, 0.0), about=about)


def softmax(logits):
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def gaps(y, logits, counts):
    """Gradient of the mean balanced loss by the logits: [example, class]. counts: [class]; ones give the plain loss."""
    weighed = counts * softmax(logits)
    return (weighed / weighed.sum(axis=1, keepdims=True) - np.eye(CLASSES)[y]) / len(y)


def fedrod(clients, cohorts, is_balanced=True, is_detached=True, is_added=True):
    """((body, head), {client: own head}); the switches make known bugs."""
    body, head, own = BODY, HEAD, {}
    for cohort in cohorts:
        ends, weights = [], []
        for k in cohort:
            x, y, steps = clients[k].x, clients[k].y, clients[k].steps
            counts = np.bincount(y, minlength=CLASSES).astype(float) if is_balanced else np.ones(CLASSES)
            body_k, head_k, own_k = body, head, own.get(k, np.zeros_like(HEAD))
            for _ in range(steps):
                hidden = x @ body_k
                generic, extra = hidden @ head_k, hidden @ own_k
                g = gaps(y, generic, counts)
                g_own = gaps(y, generic + extra if is_added else extra, np.ones(CLASSES))
                g_body = x.T @ g @ head_k.T
                if not is_detached:
                    g_body = g_body + x.T @ g_own @ own_k.T
                body_k, head_k, own_k = body_k - LR * g_body, head_k - LR * hidden.T @ g, own_k - LR * hidden.T @ g_own
            own[k] = own_k
            ends.append((body_k, head_k))
            weights.append(len(y))
        body, head = (np.average(each, axis=0, weights=weights) for each in zip(*ends, strict=True))
    return (body, head), own


@pytest.fixture(scope="module")
def ours():
    algorithm = pfl.algorithms.fedrod(model(), optax.sgd(LR), steps=3, batch=16)  # all rows of everybody
    return parts.run(algorithm, population())


def gap(ours, theirs) -> float:
    """The largest difference of the generic model and of the own heads."""
    (body, head), own = theirs
    generic = ours.result.vars.params["generic"]
    kept = np.asarray(ours.result.clients.kept.params["personal"]["head"]["kernel"])
    pairs = [
        (generic["body"]["kernel"], body),
        (generic["head"]["kernel"], head),
        *((kept[k], v) for k, v in own.items()),
    ]
    return max(np.abs(np.asarray(a) - b).max() for a, b in pairs)


def test_three_rounds(ours):
    assert 0 in ours.participants  # the client without a class
    assert gap(ours, fedrod(ours.clients, ours.cohorts)) < 1e-12
    np.testing.assert_array_equal(np.asarray(ours.result.vars.params["personal"]["head"]["kernel"]), 0 * HEAD)


@pytest.mark.parametrize("bug", ["is_balanced", "is_detached", "is_added"])
def test_known_bugs_are_seen(ours, bug):
    """A plain generic loss; an own head that moves the body; an own head that does not add to the generic logits."""
    assert gap(ours, fedrod(ours.clients, ours.cohorts, **{bug: False})) > 1e-3


def test_a_client_predicts_by_the_sum(ours):
    result, k = ours.result, ours.participants[0]
    batch = {"x": ours.clients[k].x, "y": ours.clients[k].y, "mask": np.ones(len(ours.clients[k].y), bool)}
    with jax.enable_x64(True):
        logits = result.algorithm.predict(result.personal(result.ids[k]), batch)
    generic = result.vars.params["generic"]
    hidden = ours.clients[k].x @ np.asarray(generic["body"]["kernel"])
    both = (
        np.asarray(generic["head"]["kernel"]) + np.asarray(result.clients.kept.params["personal"]["head"]["kernel"])[k]
    )
    np.testing.assert_allclose(np.asarray(logits), hidden @ both, rtol=0, atol=1e-12)
