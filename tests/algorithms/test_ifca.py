"""IFCA: one cluster is FedAvg, clusters have no order, and well separated ones are found and learned."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import pfljax as pfl
from pfljax.types import Aggregate, Vars
from tests.support import runs
from tests.support.zoo import quadratic_model, quadratics

WORK = {"client_opt": optax.sgd(0.1), "epochs": 1, "batch": 4}
DIM = 3
run = partial(runs.run, cohort=5, rounds=4)


def same_bits(one, other) -> None:
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.slow
def test_one_cluster_is_fedavg(population, model):
    server = optax.sgd(1.0, momentum=0.5)
    one = run(pfl.algorithms.ifca(model, server_opt=server, clusters=1, **WORK), population)
    plain = run(pfl.algorithms.fedavg(model, server_opt=server, **WORK), population)
    same_bits(one.vars, plain.vars)
    for record, its in zip(one.records, plain.records, strict=True):
        assert record["loss"] == its["loss"]


@pytest.mark.slow
def test_clusters_have_no_order(population, model):
    starts = [model.init(jax.random.key(i)) for i in range(3)]
    order = [2, 0, 1]
    cluster = lambda starts: pfl.algorithms.ifca(model, optax.sgd(0.1), clusters=3, starts=starts, epochs=1, batch=4)
    first = run(cluster(starts), population)
    other = run(cluster([starts[i] for i in order]), population)
    permuted = jax.tree.map(lambda leaf: np.asarray(leaf)[order], first.server.extra)
    same_bits(other.server.extra, permuted)
    moved = jax.tree.map(lambda a, b: np.asarray(a) - np.stack(b), first.server.extra, _stacked(starts))
    by_cluster = np.stack([np.abs(leaf.reshape(3, -1)).max(axis=1) for leaf in jax.tree.leaves(moved)]).max(axis=0)
    assert (by_cluster > 1e-3).sum() >= 2  # more than one was trained


def _stacked(starts):
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *starts)


def test_a_cluster_that_nobody_chose_stays(population, model):
    """Its model, bit for bit, and its optimizer, momentum included."""
    good = model.init(jax.random.key(0))
    bad = good._replace(params=jax.tree.map(lambda leaf: 100 * jnp.ones_like(leaf), good.params))
    bad.params["head"]["kernel"] = bad.params["head"]["kernel"] * jnp.linspace(-1, 1, 4)[None]
    server = optax.sgd(1.0, momentum=0.9)
    algorithm = pfl.algorithms.ifca(model, server_opt=server, clusters=2, starts=[good, bad], **WORK)
    result = run(algorithm, population)
    pick = lambda tree, index: jax.tree.map(lambda leaf: np.asarray(leaf)[index], tree)
    same_bits(pick(result.server.extra, 1), bad)
    assert all(record["cluster"] == 0 for record in result.records)
    assert not np.array_equal(pick(result.server.extra, 0).params["head"]["bias"], good.params["head"]["bias"])
    # A momentum that it has from before does not move it either.
    warm = result.server._replace(opt_state=jax.tree.map(jnp.ones_like, result.server.opt_state))
    ((_, step),) = algorithm.passes
    zeros = jax.tree.map(lambda leaf: jnp.zeros((2, *leaf.shape)), good)
    moved, _ = step(jax.random.key(0), warm, Aggregate((zeros, jnp.array([3.0, 0.0])), jnp.float32(3), jnp.float32(3)))
    same_bits(pick((moved.extra, moved.opt_state), 1), pick((warm.extra, warm.opt_state), 1))
    gap = pick(moved.extra, 0).params["head"]["bias"] - pick(warm.extra, 0).params["head"]["bias"]
    np.testing.assert_allclose(gap, -0.9, rtol=1e-5)


def separated(num_clients: int = 6):
    """(population, [A_i], [c_i]): odd clients around -3, even ones around 3."""
    _, matrices, centres = quadratics(num_clients, DIM, seed=2)
    centres = [0.2 * c + 3 * (-1) ** i for i, c in enumerate(centres)]
    row = lambda a, c: np.concatenate([c, a.ravel()])
    rows = map(row, matrices, centres)
    clients = {f"q{i}": {"x": np.tile(x, (4 + i, 1))} for i, x in enumerate(rows)}
    return pfl.data.Population.from_clients(clients, split=(1.0, 0.0, 0.0)), matrices, centres


def test_separated_clients_are_told_apart_and_learned():
    """Each cluster ends in the fixed point of FedAvg among its own: (sum n S)^-1 sum n S c, S = I - (I - lr A)^K."""
    lr, steps = 0.1, 3
    with jax.enable_x64(True):
        population, matrices, centres = separated()
        starts = [Vars({"w": np.full(DIM, at)}) for at in (-0.3, 0.4)]
        algorithm = pfl.algorithms.ifca(
            quadratic_model(DIM), optax.sgd(lr), clusters=2, starts=starts, steps=steps, batch=None
        )
        how = {"cohort": 6, "rounds": 3000, "unseen": 0.0, "devices": 2, "seed": 0, "block": 3000}
        (block,) = pfl.rounds(algorithm, population, **how)
        result = block.result()
        own = [np.asarray(result.personal(name).vars.params["w"]) for name in population.ids]
    chosen = np.take_along_axis(block.info["cluster"], np.argsort(block.rows, axis=1), axis=1)
    np.testing.assert_array_equal(chosen, np.tile([1.0, 0.0], (3000, 3)))
    sizes = population.sizes("train")
    for cluster, members in enumerate(([1, 3, 5], [0, 2, 4])):
        s = {
            i: sizes[i] * (np.eye(DIM) - np.linalg.matrix_power(np.eye(DIM) - lr * matrices[i], steps)) for i in members
        }
        point = np.linalg.solve(sum(s.values()), sum(s[i] @ centres[i] for i in members))
        np.testing.assert_allclose(np.asarray(result.server.extra.params["w"])[cluster], point, rtol=0, atol=1e-10)
        for i in members:
            np.testing.assert_array_equal(own[i], np.asarray(result.server.extra.params["w"])[cluster])


@pytest.mark.slow
def test_unseen_clients_choose_too(population, model):
    result = run(pfl.algorithms.ifca(model, clusters=2, **WORK), population, unseen=0.3)
    losses = []
    for index in range(2):
        vars = jax.tree.map(lambda leaf, index=index: leaf[index], result.server.extra)
        for row in np.flatnonzero(~result.seen):
            rows = population.client(population.ids[row], "train")
            batch = {name: jnp.asarray(x) for name, x in rows.items()} | {"mask": jnp.ones(len(rows["y"]), bool)}
            losses.append(float(model.loss(model.apply(vars, batch, jax.random.key(0), False)[0], batch).value.mean()))
    best = np.argmin(np.reshape(losses, (2, -1)), axis=0)
    for row, index in zip(np.flatnonzero(~result.seen), best, strict=True):
        own = result.personal(population.ids[row]).vars
        same_bits(own, jax.tree.map(lambda leaf, index=index: np.asarray(leaf)[index], result.server.extra))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"clusters": 2, "starts": [Vars({})]}, "starts: expected one for each of 2 clusters, got 1"),
        ({"clusters": 1, "starts": [Vars({})] * 2}, "starts: expected one for each of 1 clusters, got 2"),
        ({"clusters": 0}, "clusters: expected a whole number of at least 1, got 0"),
        ({"weighting": "rows"}, "weighting: expected one of examples, uniform"),
    ],
)
def test_bad_arguments(model, arguments, message):
    with pytest.raises(pfl.PflError, match=message):
        pfl.algorithms.ifca(model, **arguments)
