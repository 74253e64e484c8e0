"""Losses and metrics against numpy; figures that merge over batches; padding that never counts."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfljax.data.shard import Rows
from pfljax.local.gradient import mean_loss
from pfljax.models import losses
from pfljax.types import Metric, Model, Vars, Weighted

STEADY = settings(deadline=None, derandomize=True, max_examples=30)


def example(num_rows: int = 12, num_classes: int = 5, seed: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """(logits, batch)"""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(num_rows, num_classes), scale=3).astype(np.float32)
    labels = generator.integers(0, num_classes, num_rows).astype(np.uint8)
    weight = generator.uniform(0.5, 2, num_rows).astype(np.float32)
    return logits, {"y": labels, "weight": weight, "mask": np.ones(num_rows, bool)}


def nats(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    logits = logits.astype(np.float64)
    return np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels]


weights = lambda batch: batch["weight"]


def figure(metric: Metric, outputs, batch) -> float:
    """The metric over one batch, as documented: sums over examples, then finalize."""
    sums = jax.tree.map(
        lambda leaf: leaf.sum(axis=0), metric.stat(jnp.asarray(outputs), jax.tree.map(jnp.asarray, batch))
    )
    return float(metric.finalize(sums))


# ---- against numpy ----


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32])
def test_cross_entropy(dtype):
    logits, batch = example()
    value, weight = losses.cross_entropy()(jnp.asarray(logits), batch | {"y": jnp.asarray(batch["y"].astype(dtype))})
    np.testing.assert_allclose(value, nats(logits, batch["y"]), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(weight, np.ones(12))


def test_cross_entropy_of_large_logits_is_finite():
    logits = jnp.array([[1e4, 0.0], [-1e4, 0.0]])
    value, _ = losses.cross_entropy()(logits, {"y": jnp.array([1, 1]), "mask": jnp.ones(2, bool)})
    np.testing.assert_allclose(value, [1e4, 0])


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_squared_error(shape, dtype):
    generator = np.random.default_rng(0)
    outputs = generator.normal(size=(7, *shape)).astype(np.float32)
    target = generator.integers(-3, 4, size=(7, *shape)).astype(dtype)
    batch = {"y": jnp.asarray(target), "mask": jnp.ones(7, bool)}
    value, weight = losses.squared_error()(jnp.asarray(outputs), batch)
    expected = 0.5 * ((outputs - target) ** 2).reshape(7, -1).sum(axis=1)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert value.shape == weight.shape == (7,)


def test_accuracy():
    logits, batch = example()
    hit = logits.argmax(axis=1) == batch["y"]
    assert 0 < hit.sum() < 12
    assert figure(losses.accuracy(), logits, batch) == pytest.approx(hit.mean())
    assert figure(losses.accuracy(weights), logits, batch) == pytest.approx(np.average(hit, weights=batch["weight"]))
    assert (losses.accuracy().better, losses.averaged(losses.cross_entropy()).better) == ("higher", "lower")


def test_averaged():
    logits, batch = example()
    value = nats(logits, batch["y"])
    plain = losses.averaged(losses.cross_entropy(), scale=2.0)
    assert figure(plain, logits, batch) == pytest.approx(2 * value.mean(), rel=1e-5)
    weighted = losses.averaged(losses.cross_entropy(weights))
    assert figure(weighted, logits, batch) == pytest.approx(np.average(value, weights=batch["weight"]), rel=1e-5)


def test_where_nothing_counts_there_is_no_figure():
    logits, batch = example()
    empty = losses.averaged(losses.cross_entropy(lambda batch: jnp.zeros(12)))
    assert np.isnan(figure(empty, logits, batch))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_outputs_of_low_precision_are_taken_as_they_are(dtype):
    logits, batch = example()
    batch = jax.tree.map(jnp.asarray, batch)
    for metric in (losses.accuracy(), losses.averaged(losses.cross_entropy())):
        assert np.isfinite(figure(metric, jnp.asarray(logits).astype(dtype), batch))


# ---- merging and padding ----

SCORES = {
    "accuracy": losses.accuracy(),
    "weighted": losses.accuracy(weights),
    "nats": losses.averaged(losses.cross_entropy()),
    "square": losses.averaged(losses.squared_error(weights)),
}


@STEADY
@given(cuts=st.sets(st.integers(1, 39)), seed=st.integers(0, 9))
def test_metrics_merge_over_batches(cuts, seed):
    logits, batch = example(40, seed=seed)
    logits, batch = jnp.asarray(logits), jax.tree.map(jnp.asarray, batch)
    for name, metric in SCORES.items():
        outputs = logits if name != "square" else logits[:, 0]
        stat = metric.stat(outputs, batch)
        edges = [0, *sorted(cuts), 40]
        parts = [
            jax.tree.map(lambda leaf, a=a, b=b: np.asarray(leaf)[a:b].sum(axis=0), stat) for a, b in pairwise(edges)
        ]
        merged = float(metric.finalize(jax.tree.map(lambda *leaves: jnp.asarray(sum(leaves)), *parts)))
        assert merged == pytest.approx(figure(metric, outputs, batch), rel=1e-5)


def scorer() -> Model:
    """Outputs are the rows' own logits, scaled by the one parameter."""
    apply = lambda vars, batch, key, train: (batch["x"] * vars.params, ())
    return Model(lambda key: Vars(jnp.float32(1)), apply, losses.cross_entropy(weights), tuple(SCORES.items())[:3])


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 601])
def test_one_pass_over_all_rows_is_the_sum_over_its_parts(count):
    """The library's pass goes tile by tile and pads the last one; numpy does not."""
    logits, batch = example(count)
    arrays = {"x": logits, "y": batch["y"], "weight": batch["weight"]}
    rows = Rows(jax.tree.map(jnp.asarray, arrays), jnp.int32(0), jnp.int32(count), count)
    model = scorer()

    def sums(_, tile):
        gate = lambda leaf: jnp.where(tile["mask"], leaf, 0).sum()
        return {name: jax.tree.map(gate, metric.stat(tile["x"], tile)) for name, metric in model.metrics}

    total = jax.jit(lambda: rows.reduce(sums))()
    hit, value = logits.argmax(axis=1) == batch["y"], nats(logits, batch["y"])
    expected = {"accuracy": hit.mean(), "weighted": np.average(hit, weights=batch["weight"]), "nats": value.mean()}
    for name, metric in model.metrics:
        assert float(metric.finalize(total[name])) == pytest.approx(expected[name], rel=1e-5)


@pytest.mark.parametrize("poison", [np.nan, np.inf, 1e30])
def test_padded_rows_never_count(poison):
    model = scorer()
    logits, batch = example()
    real = np.arange(12) < 7
    padded = batch | {"x": np.where(real[:, None], logits, poison).astype(np.float32), "mask": real}
    short = {name: array[:7] for name, array in (batch | {"x": logits}).items()}
    results = []
    for rows in (padded, short):
        rows = jax.tree.map(jnp.asarray, rows)
        objective = lambda w, rows=rows: mean_loss(model, w, (), rows, jax.random.key(0))[0]
        results.append([float(part) for part in jax.jit(jax.value_and_grad(objective))(jnp.float32(1))])
    assert np.isfinite(results[1]).all()
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-6)
    if poison == 1e30:
        assert results[0][1] == pytest.approx(results[1][1], rel=1e-6)


def test_an_empty_batch_has_no_loss_and_no_gradient():
    logits, batch = example()
    rows = jax.tree.map(jnp.asarray, batch | {"x": logits, "mask": np.zeros(12, bool)})
    objective = lambda w: mean_loss(scorer(), w, (), rows, jax.random.key(0))[0]
    assert objective(jnp.float32(1)) == 0
    assert jax.grad(objective)(jnp.float32(1)) == 0


def test_weights_are_a_weighted_mean():
    logits, batch = example()
    rows = jax.tree.map(jnp.asarray, batch | {"x": logits})
    found = mean_loss(scorer(), jnp.float32(1), (), rows, jax.random.key(0))[0]
    assert float(found) == pytest.approx(np.average(nats(logits, batch["y"]), weights=batch["weight"]), rel=1e-5)


def test_a_loss_is_one_value_and_one_weight_per_example():
    logits, batch = example()
    made = losses.cross_entropy(weights)(jnp.asarray(logits), batch)
    assert isinstance(made, Weighted)
    assert [leaf.shape for leaf in made] == [(12,), (12,)]
