"""FedRoD. Chen, Chao, "On Bridging Generic and Personalized Federated Learning for Image Classification", ICLR 2022.

Section 4: a generic head trained by balanced softmax (eq. 7), and a personal head on the same features that adds to
its logits and trains by the plain loss, without touching the features (eq. 9).
"""

import jax
import jax.numpy as jnp
import optax
from jax import lax

from pfljax import keys, local
from pfljax.algorithms._shared import share
from pfljax.types import Algorithm, Model, Vars

ABSENT = -1e9  # the logarithm of no row, finite: its class has no probability, and a sum of losses stays a number


def fedrod(
    model: Model,
    client_opt: local.Optimizer | None = None,
    server_opt: optax.GradientTransformation | None = None,
    *,
    head: str = "head/*",
    batch: int | None = 32,
    **fedavg_arguments,
) -> Algorithm:
    """The model's outputs must be class logits and batch["y"] classes. Client state is the personal head.

    head: the pattern of the last layer; the personal head has the same shape and starts at zero. Parameters are
    {"generic": the model's, "personal": the head's}. The shared model predicts by the generic head alone.
    Other arguments: `fedavg`. Raises PflError for a pattern that matches nothing or everything.
    """
    both = _two_heads(model, head)
    client_opt = local.optimizer(client_opt)

    def gradient(key, step, vars, sent, shard):
        rows = shard.train.batch(keys.use(key, "batch"), step, batch)
        prior = _log_prior(shard, both, vars)

        def objective(params):
            key_model = keys.at(keys.use(key, "model"), step)
            generic, own, stats = _logits(model, head, Vars(params, vars.stats), rows, key_model)
            balanced = local.weighted_mean(model.loss(generic + prior.astype(generic.dtype)[None], rows), rows)
            return balanced + local.weighted_mean(model.loss(lax.stop_gradient(generic) + own, rows), rows), stats

        (loss, stats), grads = jax.value_and_grad(objective, has_aux=True)(vars.params)
        return loss, grads, stats

    def train(key, vars, sent, shard):
        return local.descend(gradient, client_opt, key, vars, sent, shard)

    made = share(
        both, "!personal/*", train, server_opt, personal_gradient=gradient, personal_opt=client_opt, batch=batch,
        **fedavg_arguments,
    )  # fmt: skip
    return made._replace(name="fedrod")


def _two_heads(model: Model, head: str) -> Model:
    def init(key):
        params, stats = model.init(key)
        own, _ = local.split(Vars(params), head)
        return Vars({"generic": params, "personal": jax.tree.map(jnp.zeros_like, own.params)}, stats)

    def apply(vars, batch, key, train):
        generic, own, stats = _logits(model, head, vars, batch, key, train)
        return generic + own, stats

    return model._replace(init=init, apply=apply, features=None)


def _logits(model: Model, head: str, vars: Vars, batch, key, train: bool = True):
    """(generic logits, personal logits that leave the features alone, stats)."""
    params, own = vars.params["generic"], vars.params["personal"]
    generic, stats = model.apply(Vars(params, vars.stats), batch, key, train)
    features, _ = model.apply(Vars(local.join(own, lax.stop_gradient(params)), vars.stats), batch, key, train)
    return generic, features, stats


def _log_prior(shard, model: Model, vars: Vars) -> jax.Array:
    """[class]: log of how many train rows each class has."""
    outputs = lambda rows: model.apply(vars, rows, keys.root(0), False)[0]
    num_classes = jax.eval_shape(lambda: outputs(shard.train.batch(keys.root(0), jnp.int32(0), 1))).shape[-1]

    def count(_, rows):
        return jnp.sum(jnp.where(rows["mask"][:, None], jax.nn.one_hot(rows["y"], num_classes), 0), axis=0)

    counts = shard.train.reduce(count)
    return jnp.where(counts > 0, jnp.log(jnp.maximum(counts, 1)), ABSENT)
