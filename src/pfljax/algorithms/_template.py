"""NAME. Authors, "Title", venue and year, Algorithm N.

One or two sentences: what clients do, what the server does, with the paper's equation numbers. Copy this file, rename
it after the paper, and say in it what the paper says. What stands here works: every client keeps an average of the
models that it has sent, and the server that of all rounds' changes.
"""

import jax
import jax.numpy as jnp

from pfljax import local
from pfljax.algorithms.fedavg import fedavg
from pfljax.errors import between
from pfljax.types import Algorithm, Model


def template(
    model: Model, client_opt: local.Optimizer | None = None, *, share: float = 0.5, batch: int | None = 32, **rest
) -> Algorithm:
    """What it is in one line; what is kept, what an unseen client gets.

    share: what it does, and what the authors take. Others: `fedavg`. Raises PflError for share outside 0 to 1.
    """
    between("share", share, 0, 1)
    # Scalars in `hyper` reach the clients as sent.hyper and the server as server.hyper; other values compile nothing.
    base = fedavg(model, client_opt, batch=batch, hyper={"share": share}, **rest)
    ((train, step),) = base.passes
    toward = lambda old, new, by: jax.tree.map(lambda a, b: a + by.astype(a.dtype) * (b - a), old, new)

    def init(key, vars, census, hyper):
        # `extra` is what the server holds beside a model; census.num_clients, .seen, .sizes are known.
        return base.init(key, vars, census, hyper)._replace(extra=jax.tree.map(jnp.zeros_like, vars.params))

    def init_client(key, sent):
        # What a client holds before it first takes part, seen or not; () keeps nothing.
        return sent.vars

    def client(key, sent, mine, shard):
        # One client: (upload, what it keeps, scalars to look at). Random draws hang on keys.use(key, "a name").
        upload, _, info = train(key, sent, (), shard)
        end = sent.vars._replace(params=jax.tree.map(jnp.subtract, sent.vars.params, upload.value.params))
        return upload, toward(mine, end, sent.hyper["share"]), info

    def server(key, server, aggregate):
        # aggregate.value has the upload's shape: means for `Mean`, sums for `Sum`, [slot, ...] for `At`.
        extra = toward(server.extra, aggregate.value.params, server.hyper["share"])
        moved, info = step(key, server, aggregate)
        return moved._replace(extra=extra), info

    return base._replace(
        name="template",
        init=init,
        init_client=init_client,
        passes=((client, server),),
        # How a client comes to its own model: from what it keeps, by steps of its own that validation chooses.
        personal=local.finetune(
            local.gradient(model, batch), local.optimizer(client_opt), begin=lambda sent, mine: mine
        ),
        # cost: gradients of a batch in a client's round, where they are more than its steps.
    )
