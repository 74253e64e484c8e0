"""The local solver: optimizer steps along a gradient, as many as the plan gives the client."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from pfljax.local.gradient import Gradient
from pfljax.types import Info, Key, Sent, Vars

Optimizer = optax.GradientTransformation | Callable[[Sent], optax.GradientTransformation]


def resolve(optimizer: Optimizer, sent: Sent) -> optax.GradientTransformation:
    """An optax optimizer, or the one that a function of `Sent` makes, e.g. `lambda sent: optax.sgd(0.9**sent.round)`.

    A client's optimizer starts anew each round, so a schedule over rounds must read `sent.round`.
    """
    return optimizer if isinstance(optimizer, optax.GradientTransformation) else optimizer(sent)


def optimizer(given: Optimizer | None) -> Optimizer:
    """The given one, or optax.sgd(0.1)."""
    return optax.sgd(0.1) if given is None else given


def sgd(lr: jax.Array) -> optax.GradientTransformation:
    """Plain descent at a traced rate, whatever precision the rate has: `optax.sgd` would promote."""
    return optax.stateless(lambda grads, params: jax.tree.map(lambda g: -lr.astype(g.dtype) * g, grads))


def descend(
    gradient: Gradient, optimizer: Optimizer, key: Key, vars: Vars, sent: Sent, shard, num_steps=None
) -> tuple[Vars, Info]:
    """`num_steps` steps (default: shard.num_steps) from `vars`.

    Info: `loss`, the mean over steps of the loss before each step.
    """
    opt, num_steps = resolve(optimizer, sent), shard.num_steps if num_steps is None else num_steps

    def step(index, carry):
        vars, opt_state, total = carry
        loss, grads, stats = gradient(key, index, vars, sent, shard)
        updates, opt_state = opt.update(grads, opt_state, vars.params)
        vars = Vars(optax.apply_updates(vars.params, updates), stats)
        return vars, opt_state, total + loss.astype(total.dtype)

    carry = (vars, opt.init(vars.params), jnp.zeros(()))
    vars, _, total = lax.fori_loop(np.int32(0), num_steps, step, carry)
    return vars, {"loss": total / jnp.maximum(num_steps, 1).astype(total.dtype)}
