"""pFedHN. Shamsian, Navon, Fetaya, Chechik, "Personalized Federated Learning using Hypernetworks", ICML 2021.

Algorithm 1: the server's hypernetwork h(e_i) makes every client's model; what clients send moves h and e_i by the
chain rule (eq. 3). A client never sees either.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from pfljax import keys, local
from pfljax.algorithms.fedavg import fedavg
from pfljax.errors import whole
from pfljax.types import Algorithm, Each, Mean, Model, Tree


class Hyper(NamedTuple):
    """weights: of the hypernetwork; embeddings: [client, embedding]; seen: [client] float, 1 or 0."""

    weights: Tree
    embeddings: jax.Array
    seen: jax.Array


def pfedhn(
    model: Model,
    client_opt: local.Optimizer | None = None,
    server_opt: optax.GradientTransformation | None = None,
    *,
    embedding: int = 16,
    hidden: int = 64,
    **local_work,
) -> Algorithm:
    """One hidden layer of relus from a client's embedding to all parameters; it starts near the run's initial model.

    server_opt: of the hypernetwork and the embeddings (default sgd(0.1)). A client that was never seen gets the model
    of the mean embedding. The server sees every client's change by itself, and holds `hidden` times the model.
    Other arguments: `fedavg`.
    """
    whole("embedding", embedding)
    whole("hidden", hidden)
    base = fedavg(model, client_opt, weighting="uniform", **local_work)
    server_opt = optax.sgd(0.1) if server_opt is None else server_opt
    ((train, _),) = base.passes

    def init(key, vars, census, hyper):
        flat, _ = ravel_pytree(vars.params)
        normal = lambda name, shape: jax.random.normal(keys.use(key, name), shape, flat.dtype)
        weights = {
            "hidden": normal("hidden", (embedding, hidden)) * (2 / embedding) ** 0.5,
            "bias": jnp.zeros(hidden, flat.dtype),
            "out": _split(normal("out", (hidden, flat.size)) * 0.01 * hidden**-0.5, vars.params),
            "start": vars.params,
        }
        made = Hyper(
            weights, normal("embedding", (census.num_clients, embedding)), jnp.asarray(census.seen, flat.dtype)
        )
        server = base.init(key, vars, census, hyper)
        return server._replace(opt_state=server_opt.init((made.weights, made.embeddings)), extra=made)

    def send(server, row):
        weights, embeddings, seen = server.extra
        mean = seen @ embeddings / jnp.sum(seen)
        made = _generate(weights, jnp.where(seen[row] > 0, embeddings[row], mean)[None])
        params = jax.tree.map(lambda leaf: leaf[0], made)
        return base.send(server._replace(vars=server.vars._replace(params=params), extra=()), row)

    def client(key, sent, mine, shard):
        change, _, info = train(key, sent, mine, shard)
        return (Each(change.value.params), Mean(change.value.stats, change.weight)), mine, info

    def server(key, server, aggregate):
        (deltas, stats), (weights, embeddings, seen) = aggregate.value, server.extra

        def agreement(moving):
            """Its gradient is the sum over clients of (dh/d moving)' delta, deltas of those that do not count are 0."""
            weights, embeddings = moving
            made = _generate(weights, embeddings[aggregate.rows])
            along = jax.tree.map(lambda made, delta: jnp.vdot(made, delta).astype(seen.dtype), made, deltas)
            return sum(jax.tree.leaves(along))

        moving = (weights, embeddings)
        grads = jax.tree.map(lambda g: g / aggregate.num_reported.astype(g.dtype), jax.grad(agreement)(moving))
        updates, opt_state = server_opt.update(grads, server.opt_state, moving)
        moved: Any = optax.apply_updates(moving, updates)
        vars = server.vars._replace(stats=stats)
        extra = Hyper(moved[0], moved[1], seen)
        return server._replace(vars=vars, opt_state=opt_state, round=server.round + 1, extra=extra), {}

    return base._replace(name="pfedhn", init=init, send=send, passes=((client, server),))


def _split(rows: jax.Array, like: Tree) -> Tree:
    """[row, number] -> [row, ...] of every leaf."""
    leaves, structure = jax.tree.flatten(like)
    parts = jnp.split(rows, np.cumsum([leaf.size for leaf in leaves])[:-1], axis=1)
    shaped = lambda part, leaf: part.reshape(len(rows), *leaf.shape).astype(leaf.dtype)
    return jax.tree.unflatten(structure, map(shaped, parts, leaves))


def _generate(weights: Tree, embedding: jax.Array) -> Tree:
    """[client, embedding] -> parameters [client, ...]."""
    hidden = jax.nn.relu(embedding @ weights["hidden"] + weights["bias"][None])
    # A product with ones, not a broadcast, whose gradient is a sum over clients that takes ten times as long on a CPU.
    one = jnp.ones((len(embedding), 1))

    def parameter(out, start):
        product = lambda x, w: x.astype(w.dtype) @ w.reshape(len(w), -1)
        return (product(hidden, out) + product(one, start[None])).reshape(len(embedding), *start.shape)

    return jax.tree.map(parameter, weights["out"], weights["start"])
