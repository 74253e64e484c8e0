"""IFCA. Ghosh, Chung, Yin, Ramchandran, "An Efficient Framework for Clustered Federated Learning", NeurIPS 2020,
Algorithm 1, model averaging. HypCluster of Mansour et al., "Three Approaches for Personalization", 2020, is the same.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import optax
from jax import lax

from pfljax import keys, local
from pfljax.algorithms.fedavg import fedavg
from pfljax.errors import PflError, whole
from pfljax.types import Algorithm, At, Model, Personal, Sum, Vars


def ifca(
    model: Model,
    client_opt: local.Optimizer | None = None,
    server_opt: optax.GradientTransformation | None = None,
    *,
    clusters: int = 2,
    starts: Sequence[Vars] = (),
    batch: int | None = 32,
    weighting: local.Weighting = "examples",
    **local_work,
) -> Algorithm:
    """`clusters` models; a client trains the one with the least loss on its train rows, and predicts by it.

    starts: where the clusters begin, one `Vars` each (default: random starts of their own, the first one the run's). A
            run whose clusters begin far apart in quality ends with one cluster: warm starts help.
    Every cluster is averaged among its own clients; one that nobody chose stays as it is. The "shared" model of an
    evaluation is the first cluster's. Other arguments: `fedavg`. Raises PflError if there are not as many starts.
    """
    num = whole("clusters", clusters)
    if len(starts) not in (0, num):
        raise PflError(f"starts: expected one for each of {num} clusters, got {len(starts)}")
    base = fedavg(model, client_opt, server_opt, batch=batch, weighting=weighting, **local_work)
    server_opt = optax.sgd(1.0) if server_opt is None else server_opt
    ((train, _),) = base.passes
    all_rows = local.all_rows_loss(model)

    def init(key, vars, census, hyper):
        fresh = (model.init(keys.at(keys.use(key, "cluster"), index)) for index in range(1, num))
        each = starts or (vars, *fresh)
        stacked = lambda trees: jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
        every, opt_state = stacked(each), stacked([server_opt.init(one.params) for one in each])
        server = base.init(key, vars, census, hyper)
        return server._replace(vars=_pick(every, 0), opt_state=opt_state, extra=every)

    def choose(sent, shard):
        return jnp.argmin(lax.map(lambda vars: all_rows(vars, shard.train), sent.extra))

    def client(key, sent, mine, shard):
        index = choose(sent, shard)
        change, _, info = train(key, sent._replace(vars=_pick(sent.extra, index)), mine, shard)
        slot = jax.nn.one_hot(index, num)
        return At(slot, (change, Sum(jnp.ones(())))), mine, info | {"cluster": index.astype(jnp.float32)}

    def server(key, server, aggregate):
        def move(one):
            vars, opt_state, (delta, stats), count = one
            updates, new_state = server_opt.update(delta, opt_state, vars.params)
            moved = Vars(optax.apply_updates(vars.params, updates), stats), new_state
            return jax.tree.map(lambda new, old: jnp.where(count > 0, new, old), moved, (vars, opt_state))

        every, opt_state = lax.map(move, (server.extra, server.opt_state, *aggregate.value))
        vars = _pick(every, 0)
        return server._replace(vars=vars, opt_state=opt_state, round=server.round + 1, extra=every), {}

    def start(key, sent, mine, shard):
        return Personal(_pick(sent.extra, choose(sent, shard)), (), jnp.int32(0))

    return base._replace(
        name="ifca",
        init=init,
        passes=((client, server),),
        personal=(start, local.stay),
        cost=lambda counts: base.cost(counts) + num * local.full_loss(counts, batch),
    )


def _pick(every: Vars, index) -> Vars:
    return jax.tree.map(lambda leaf: leaf[index], every)
