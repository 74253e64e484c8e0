"""Personalization by local training: the (start, step) pair that most algorithms end with."""

from collections.abc import Callable

import jax.numpy as jnp
import optax

from pfljax import keys
from pfljax.errors import PflError
from pfljax.local.descend import Optimizer, resolve
from pfljax.local.gradient import Gradient
from pfljax.types import Features, Model, Personal, Sent, Vars


def predict(model: Model) -> Callable:
    """The model applied to one client's own numbers: what most algorithms predict with."""
    return lambda personal, batch: model.apply(personal.vars, batch, keys.root(0), False)[0]


def features_of(model: Model, who: str) -> Features:
    """The model's features; PflError if it says nothing of any."""
    if model.features is None:
        raise PflError(
            f"{who}: expected a model with features, got none; use pfl.models.mlp, cnn or char_lm, or from_nnx(..., "
            "features=(size, number of classes)) with a module that has `features` and `head`"
        )
    return model.features


def shared_start(key, sent, mine, shard) -> Personal:
    """Every client starts from what the server sent."""
    return Personal(sent.vars, (), jnp.int32(0))


def stay(key, personal: Personal, sent: Sent, shard) -> Personal:
    """No adaptation: the shared model is everybody's."""
    return personal._replace(step=personal.step + 1)


def finetune(
    gradient: Gradient,
    optimizer: Optimizer,
    begin: Callable[..., Vars] = lambda sent, mine: sent.vars,
) -> tuple[Callable, Callable]:
    """(start, step): optimizer steps along `gradient` on the client's train rows, from begin(Sent, Client)."""

    def start(key, sent, mine, shard):
        vars = begin(sent, mine)
        return Personal(vars, resolve(optimizer, sent).init(vars.params), jnp.int32(0))

    def step(key, personal, sent, shard):
        vars, opt_state, index = personal
        _, grads, stats = gradient(key, index, vars, sent, shard)
        updates, opt_state = resolve(optimizer, sent).update(grads, opt_state, vars.params)
        return Personal(Vars(optax.apply_updates(vars.params, updates), stats), opt_state, index + 1)

    return start, step
