"""FedFomo. Zhang et al., "Personalized Federated Learning with First Order Model Optimization", ICLR 2021, Algorithm 1.

The server holds everybody's model and sends a few to each client, which moves towards those that help it (eq. 4, 5).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from pfljax import keys, local
from pfljax.algorithms.fedavg import fedavg
from pfljax.errors import PflError, whole
from pfljax.types import Algorithm, Each, Mean, Model, Vars

MOST = 1000  # clients: the server holds a model of each, and a square of affinities
TINY = 1e-5
NEVER = -1e9  # the affinity for oneself and for clients that are not seen


class Models(NamedTuple):
    """every: [client, ...], all clients' models; affinity: [client, client], what has helped whom so far."""

    every: Vars
    affinity: jax.Array


class Offer(NamedTuple):
    """own: the client's model; others: [candidate, ...]; rows: [candidate] whose they are."""

    own: Vars
    others: Vars
    rows: jax.Array


def fedfomo(
    model: Model,
    client_opt: local.Optimizer | None = None,
    *,
    candidates: int = 5,
    batch: int | None = 32,
    **local_work,
) -> Algorithm:
    """A client weighs `candidates` others by (its loss - theirs) / distance on its validation rows, then trains.

    Candidates are those that have helped most, random ones at first. For at most 1,000 clients, which have validation
    rows: without any, nothing helps. The "shared" model of an evaluation is the mean of the last cohort's. A client
    never seen starts from the initial model and its candidates. epochs, steps: as in `fedavg`.

    Raises PflError for more clients than that, or not more than candidates.
    """
    num = whole("candidates", candidates)
    base = fedavg(model, client_opt, batch=batch, weighting="uniform", **local_work)
    own_gradient, client_opt = local.gradient(model, batch), local.optimizer(client_opt)
    loss_on, (begin, step) = local.all_rows_loss(model), local.finetune(own_gradient, client_opt)

    def init(key, vars, census, hyper):
        total = census.num_clients
        if not num < census.seen.sum() <= total <= MOST:
            raise PflError(
                f"fedfomo: expected more than {num} seen clients (candidates) and at most {MOST} in all, got "
                f"{int(census.seen.sum())} of {total}; the server holds every client's model, so take another method"
            )
        every = jax.tree.map(lambda leaf: jnp.repeat(leaf[None], total, axis=0), vars)
        noise = jax.random.uniform(keys.use(key, "affinity"), (total, total)) * TINY  # breaks ties at random
        never = jnp.eye(total, dtype=bool) | ~jnp.asarray(census.seen)[None]
        affinity = jnp.where(never, NEVER, noise)
        return base.init(key, vars, census, hyper)._replace(extra=Models(every, affinity))

    def send(server, row):
        every, affinity = server.extra
        _, rows = lax.top_k(affinity[row], num)
        take = lambda rows: jax.tree.map(lambda leaf: leaf[rows], every)
        return base.send(server, row)._replace(extra=Offer(take(row), take(rows), rows.astype(jnp.int32)))

    def gather(sent, shard):
        """(the client's model moved towards what helps, how much each candidate helps)."""
        own, others, _ = sent.extra
        losses = lax.map(lambda vars: loss_on(vars, shard.validation), others)
        gap = jax.tree.map(lambda them, me: them - me[None], others.params, own.params)
        length = jnp.sqrt(sum(jnp.sum(leaf.reshape(num, -1) ** 2, axis=1) for leaf in jax.tree.leaves(gap)))
        helped = (loss_on(own, shard.validation) - losses) / (length + TINY)
        weights = jnp.maximum(helped, 0)
        weights = weights / jnp.where(weights.sum() > 0, weights.sum(), 1)
        move = lambda me, gap: me + jnp.tensordot(weights.astype(gap.dtype), gap, axes=1)
        return own._replace(params=jax.tree.map(move, own.params, gap)), helped.astype(jnp.float32)

    def client(key, sent, mine, shard):
        vars, helped = gather(sent, shard)
        vars, info = local.descend(own_gradient, client_opt, key, vars, sent, shard)
        return (Mean(vars, jnp.ones(())), Each(vars), Each(helped), Each(sent.extra.rows)), mine, info

    def start(key, sent, mine, shard):
        vars, _ = gather(sent, shard)
        return begin(key, sent._replace(vars=vars), mine, shard)

    def server(key, server, aggregate):
        mean, vars, helped, others = aggregate.value
        every, affinity = server.extra
        rows = jnp.where(aggregate.mask, aggregate.rows, affinity.shape[0])  # beyond the end: nobody
        put = lambda leaf, new: leaf.at[rows].set(new, mode="drop")
        affinity = affinity.at[rows[:, None], others].add(helped.astype(affinity.dtype), mode="drop")
        extra = Models(jax.tree.map(put, every, vars), affinity)
        return server._replace(vars=mean, round=server.round + 1, extra=extra), {}

    return base._replace(
        name="fedfomo",
        init=init,
        send=send,
        passes=((client, server),),
        personal=(start, step),
        cost=lambda counts: base.cost(counts) + (num + 1) * local.full_loss(counts // 5, batch),
    )
