"""FedOpt: adaptive servers. Reddi et al., "Adaptive Federated Optimization", ICLR 2021, Algorithm 2.

FedAvgM: Hsu, Qi, Brown, "Measuring the Effects of Non-Identical Data Distribution", 2019.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from pfljax import local
from pfljax.algorithms.fedavg import fedavg
from pfljax.errors import at_least, between
from pfljax.types import Algorithm, Model, Tree

Second = Callable[[jax.Array, jax.Array], jax.Array]  # (v, squared gradient) -> v


class Moments(NamedTuple):
    """m and v of Algorithm 2, like params."""

    first: Tree
    second: Tree


def adaptive(second: Second, lr: float, b1: float, tau: float) -> optax.GradientTransformation:
    """Lines 8 to 12 of Algorithm 2: m <- b1 m + (1 - b1) g; v <- second(v, g^2); w <- w - lr m / (sqrt(v) + tau).

    No bias correction; m starts at 0, v at tau^2. Raises PflError for a negative lr or tau and b1 outside 0 to 1.
    """
    at_least("server_lr", lr, 0)
    between("b1", b1, 0, 1)
    at_least("tau", tau, 0)

    def init(params):
        zeros = jax.tree.map(jnp.zeros_like, params)
        return Moments(zeros, jax.tree.map(lambda p: jnp.full_like(p, tau**2), params))

    def update(updates, state, params=None):
        first = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.first, updates)
        moved = jax.tree.map(lambda v, g: second(v, g**2), state.second, updates)
        updates = jax.tree.map(lambda m, v: -lr * m / (jnp.sqrt(v) + tau), first, moved)
        return updates, Moments(first, moved)

    return optax.GradientTransformation(init, update)


def fedavgm(
    model: Model, client_opt: local.Optimizer | None = None, *, server_lr=1.0, momentum=0.9, **rest
) -> Algorithm:
    """A server with heavy-ball momentum. Other arguments: `fedavg`."""
    at_least("server_lr", server_lr, 0)
    between("momentum", momentum, 0, 1)
    return fedavg(model, client_opt, optax.sgd(server_lr, momentum), **rest)._replace(name="fedavgm")


def fedadagrad(
    model: Model, client_opt: local.Optimizer | None = None, *, server_lr=0.1, b1=0.0, tau=1e-3, **rest
) -> Algorithm:
    """v sums squared changes. Other arguments: `fedavg`."""
    server = adaptive(lambda v, square: v + square, server_lr, b1, tau)
    return fedavg(model, client_opt, server, **rest)._replace(name="fedadagrad")


def fedadam(
    model: Model, client_opt: local.Optimizer | None = None, *, server_lr=0.01, b1=0.9, b2=0.99, tau=1e-3, **rest
) -> Algorithm:
    """v is a moving average of squared changes; as in the paper, without bias correction. Others: `fedavg`."""
    between("b2", b2, 0, 1)
    server = adaptive(lambda v, square: b2 * v + (1 - b2) * square, server_lr, b1, tau)
    return fedavg(model, client_opt, server, **rest)._replace(name="fedadam")


def fedyogi(
    model: Model, client_opt: local.Optimizer | None = None, *, server_lr=0.01, b1=0.9, b2=0.99, tau=1e-3, **rest
) -> Algorithm:
    """v follows squared changes by steps of their own size; as in the paper. Others: `fedavg`."""
    between("b2", b2, 0, 1)
    server = adaptive(lambda v, square: v - (1 - b2) * square * jnp.sign(v - square), server_lr, b1, tau)
    return fedavg(model, client_opt, server, **rest)._replace(name="fedyogi")


def fedadam_corrected(
    model: Model, client_opt: local.Optimizer | None = None, *, server_lr=0.01, b1=0.9, b2=0.99, tau=1e-3, **rest
) -> Algorithm:
    """The server is optax.adam: bias-corrected moments that start at 0. Others: `fedavg`."""
    at_least("server_lr", server_lr, 0)
    server = optax.adam(server_lr, b1, b2, tau)
    return fedavg(model, client_opt, server, **rest)._replace(name="fedadam_corrected")


def fedyogi_corrected(
    model: Model, client_opt: local.Optimizer | None = None, *, server_lr=0.01, b1=0.9, b2=0.99, tau=1e-3, **rest
) -> Algorithm:
    """The server is optax.yogi: bias-corrected moments that start at 1e-6. Others: `fedavg`."""
    at_least("server_lr", server_lr, 0)
    server = optax.yogi(server_lr, b1, b2, tau)
    return fedavg(model, client_opt, server, **rest)._replace(name="fedyogi_corrected")
