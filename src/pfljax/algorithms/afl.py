"""Agnostic federated learning. Mohri, Sivek, Suresh, "Agnostic Federated Learning", ICML 2019, Algorithm 1.

A minimax game: the model descends the clients' losses mixed by lambda, lambda climbs towards those who lose most.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from pfljax import local
from pfljax.algorithms.fedavg import fedavg
from pfljax.errors import at_least
from pfljax.types import Algorithm, Each, Model, Personal, Vars


class Mixture(NamedTuple):
    """mixture: [client], lambda, on the simplex of seen clients; seen: [client]; average: of every round's model."""

    mixture: jax.Array
    seen: jax.Array
    average: Vars


def afl(
    model: Model, *, lr: float = 0.1, mixture_lr: float = 0.1, batch: int | None = None, steps: int = 1
) -> Algorithm:
    """Every client's model is the average of all rounds', the start left out; `result.vars` is the last one.

    mixture_lr: the rate of lambda; at 0 the mixture stays uniform.

    steps, batch: one step on all rows is the paper's; more are FedAvg's local work. Everybody's loss moves lambda, so
    ask all seen clients in each round for the paper's algorithm; a smaller cohort moves its own entries only. Raises
    PflError for a negative mixture_lr.
    """
    at_least("mixture_lr", mixture_lr, 0)
    plain = lambda sent: local.sgd(sent.hyper["lr"])
    hyper = {"lr": lr, "mixture_lr": mixture_lr}
    base = fedavg(model, plain, steps=steps, batch=batch, weighting="uniform", hyper=hyper)
    ((train, step),) = base.passes
    all_rows = local.all_rows_loss(model)

    def init(key, vars, census, hyper):
        seen = jnp.asarray(census.seen)
        uniform = seen.astype(float) / int(census.seen.sum())
        return base.init(key, vars, census, hyper)._replace(extra=Mixture(uniform, seen, vars))

    def send(server, row):
        return base.send(server, row)._replace(extra=(server.extra.mixture[row], server.extra.average))

    def client(key, sent, mine, shard):
        change, _, info = train(key, sent, mine, shard)
        return (change._replace(weight=sent.extra[0]), Each(all_rows(sent.vars, shard.train).astype(float))), mine, info

    def server(key, server, aggregate):
        (change, losses), (mixture, seen, average) = aggregate.value, server.extra
        # A padding row's loss is zero, and adds nothing wherever it is added.
        climbed = mixture.at[aggregate.rows].add(server.hyper["mixture_lr"].astype(losses.dtype) * losses)
        mixture = _onto_simplex(climbed, seen)
        moved, info = step(key, server, aggregate._replace(value=change))
        average = jax.tree.map(lambda a, w: a + (w - a) / moved.round.astype(a.dtype), average, moved.vars)
        return moved._replace(extra=Mixture(mixture, seen, average)), info | {"largest_share": mixture.max()}

    def start(key, sent, mine, shard):
        return Personal(sent.extra[1], (), jnp.int32(0))

    return base._replace(
        name="afl",
        init=init,
        send=send,
        passes=((client, server),),
        personal=(start, local.stay),
        cost=lambda counts: base.cost(counts) + local.full_loss(counts, batch),
    )


def _onto_simplex(values: jax.Array, seen: jax.Array) -> jax.Array:
    """The nearest point of the simplex of seen clients, all of whose entries fall by one number, those below 0 to 0.

    optax has it too, but not under strict dtype promotion.
    """
    falling = -jnp.sort(jnp.where(seen, -values, jnp.inf))
    excess = (jnp.cumsum(falling) - 1) / jnp.arange(1, len(values) + 1, dtype=values.dtype)
    num = jnp.sum(falling > excess)  # entries that stay positive
    return jnp.where(seen, jnp.maximum(values - excess[num - 1], 0), 0)
