"""Known bugs, put back on purpose: each makes the check fail that is there to catch it."""

import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import pfljax as pfl
from pfljax import local
from pfljax.data import shard
from pfljax.local import meta
from tests.algorithms import test_quadratics
from tests.support.zoo import ALGORITHMS, people, tiny_model


def losses(algorithm, population):
    return [r["loss"] for r in pfl.simulate(algorithm, population, cohort=4, rounds=3, devices=1, width=2).records]


def test_padded_rows_that_count_are_caught(monkeypatch):
    """Padding repeats a client's first row. With the mask ignored, another batch size that covers all rows differs."""
    population = people()

    def full_batch(size):
        algorithm = pfl.algorithms.fedavg(tiny_model(population), optax.sgd(0.1), steps=1, batch=size)
        return losses(algorithm, population)

    np.testing.assert_allclose(full_batch(20), full_batch(33), rtol=1e-5)

    take = shard.Rows._take
    monkeypatch.setattr(
        shard.Rows, "_take", lambda self, index, mask: take(self, index, mask) | {"mask": jnp.ones_like(mask)}
    )
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(full_batch(20), full_batch(33), rtol=1e-5)


def test_unused_adapted_weights_are_caught(monkeypatch):
    """FedRep's code computes adapted weights and evaluates the others: then MAML's gradient is the plain one."""
    monkeypatch.setattr(meta, "_inner_loop", lambda loss, params, *rest: (params, None))
    with jax.enable_x64(True), pytest.raises(AssertionError):
        test_quadratics.test_meta_gradients("exact", 1)


def test_first_order_sold_as_exact_is_caught(monkeypatch):
    """Flower's fedmeta cuts the graph: second order paid for, first order got."""
    inner = meta._inner_loop
    monkeypatch.setattr(meta, "_inner_loop", lambda loss, p, lr, k, adapt, is_cut: inner(loss, p, lr, k, adapt, True))
    with jax.enable_x64(True), pytest.raises(AssertionError):
        test_quadratics.test_meta_gradients("exact", 1)


def test_a_proximal_term_that_is_detached_is_caught(monkeypatch):
    """Without its gradient, Ditto's own model is a local one."""
    monkeypatch.setattr(local, "proximal", lambda base, hyper: base)
    with jax.enable_x64(True), pytest.raises(AssertionError):
        test_quadratics.test_ditto_fixed_point()


def test_keys_that_hang_on_the_slot_are_caught(monkeypatch):
    """With keys by position in the cohort, dealing to other devices changes what a client draws."""
    from pfljax import keys

    population = people()
    run = lambda devices: pfl.simulate(
        ALGORITHMS["local_only"](tiny_model(population)), population, cohort=6, rounds=1, devices=devices
    )
    kept = lambda result: np.asarray(jax.tree.leaves(result.clients.kept)[0])[: population.num_clients]
    np.testing.assert_array_equal(kept(run(1)), kept(run(2)))
    monkeypatch.setattr(keys, "client", lambda key, round, row: keys.at(key, jax.lax.axis_index("clients")))
    with pytest.raises(AssertionError):
        np.testing.assert_array_equal(kept(run(1)), kept(run(2)))


BROKEN = """
    import jax
    jax.config.update("jax_num_cpu_devices", 8)
    plain = jax.shard_map
    jax.shard_map = lambda f, **kw: plain(f, **kw | {"check_vma": True})
"""
SUMMED = """
    import jax
    import numpy as np
    import optax
    import pfljax as pfl
    from tests.support.zoo import people, tiny_model

    population = people()
    # Equal step counts: with unequal ones this bug does not give wrong numbers but a deadlock.
    algorithm = pfl.algorithms.fedavg(tiny_model(population), optax.sgd(0.1), steps=2, batch=4)
    run = lambda devices: pfl.simulate(algorithm, population, cohort=8, rounds=2, unseen=0, devices=devices)
    a, b = (np.asarray(jax.tree.leaves(run(devices).server)[0]) for devices in (1, 8))
    np.testing.assert_allclose(a, b, atol=1e-5)
"""


def test_gradients_summed_over_devices_are_caught():
    """check_vma=True sums replicated gradients over devices (or refuses the program): 1 and 8 devices then differ."""
    exec(textwrap.dedent(SUMMED), {})
    code = textwrap.dedent(BROKEN) + textwrap.dedent(SUMMED)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode != 0
    assert "AssertionError" in done.stderr or "vary" in done.stderr or "vma" in done.stderr, done.stderr[-2000:]
