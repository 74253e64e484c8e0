"""FedOpt's servers: one step from v = tau^2 by hand, the limit that is FedAvg, bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import pfljax as pfl
from pfljax.types import Aggregate, Vars
from tests.papers.test_fedavg import fedavg
from tests.support import parity

LR, B1, B2, TAU = 0.3, 0.8, 0.9, 0.05
CHANGE = np.array([0.4, -0.02, 0.0, 3.0])
SECOND = {
    "fedadagrad": TAU**2 + CHANGE**2,
    "fedadam": B2 * TAU**2 + (1 - B2) * CHANGE**2,
    "fedyogi": TAU**2 + (1 - B2) * CHANGE**2 * np.sign(CHANGE**2 - TAU**2),
}
BAD = [
    ({"b1": 1.5}, "b1: expected a number from 0 to 1, got 1.5"),
    ({"server_lr": -1.0}, "server_lr: expected a number of at least 0, got -1.0"),
    ({"tau": -1.0}, "tau: expected a number of at least 0, got -1.0"),
    ({"weighting": "rows"}, "weighting: expected one of examples, uniform, got 'rows'"),
]


def first_step(name, **arguments):
    """The server's step for the first change, without the engine."""
    algorithm = getattr(pfl.algorithms, name)(parity.model(), server_lr=LR, b1=B1, tau=TAU, **arguments)
    ((_, server),) = algorithm.passes
    with jax.enable_x64(True):
        vars = Vars({"w": jnp.zeros(CHANGE.shape)})
        begin = algorithm.init(jax.random.key(0), vars, None, {})
        aggregate = Aggregate(Vars({"w": jnp.asarray(CHANGE)}), jnp.int32(1), jnp.int32(1))
        moved, _ = server(jax.random.key(0), begin, aggregate)
        return np.asarray(moved.vars.params["w"]), moved.opt_state


@pytest.mark.parametrize("name", SECOND)
def test_the_first_step(name):
    """v starts at tau^2 and m at 0: no correction of either."""
    arguments = {} if name == "fedadagrad" else {"b2": B2}
    moved, state = first_step(name, **arguments)
    np.testing.assert_allclose(state.second["w"], SECOND[name], rtol=1e-14)
    np.testing.assert_allclose(moved, -LR * (1 - B1) * CHANGE / (np.sqrt(SECOND[name]) + TAU), rtol=1e-14)


def test_the_first_corrected_step_is_the_sign():
    """m / (1 - b1) and v / (1 - b2) are the change and its square."""
    with jax.numpy_dtype_promotion("standard"):  # optax's own bias correction promotes
        moved, _ = first_step("fedadam_corrected", b2=B2)
    np.testing.assert_allclose(moved, -LR * CHANGE / (np.abs(CHANGE) + TAU), rtol=1e-12)
    assert np.abs(moved - first_step("fedadam", b2=B2)[0]).max() > 0.01


def test_a_huge_tau_is_fedavg():
    """b1 = 0, lr = s tau, tau to infinity: a server of rate s; here 2 tau is what divides, for v starts at tau^2."""
    tau, rate = 1e9, 0.6
    ours = parity.run(
        pfl.algorithms.fedadam(
            parity.model(), optax.sgd(0.1), b1=0.0, b2=1.0, tau=tau, server_lr=2 * tau * rate, epochs=1, batch=2
        ),
        rounds=1,
    )
    ends = fedavg(ours.clients, ours.cohorts, ours.start, 0.1, "examples")
    np.testing.assert_allclose(ours.w, ours.start + rate * (ends - ours.start), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("arguments", "message"), BAD)
@pytest.mark.parametrize("name", ["fedadagrad", "fedadam", "fedyogi"])
def test_bad_input(name, arguments, message):
    with pytest.raises(pfl.PflError, match=message):
        getattr(pfl.algorithms, name)(parity.model(), **arguments)
