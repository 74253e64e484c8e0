"""Any flax module, nnx or linen, as a `Model`."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen, nnx

from pfljax import keys
from pfljax.errors import PflError
from pfljax.types import Batch, Features, Metric, Model, Vars, Weighted

Loss = Callable[[Any, Batch], Weighted]


def from_nnx(
    make: Callable[[nnx.Rngs], nnx.Module],
    loss: Loss,
    metrics: Mapping[str, Metric],
    *,
    inputs: Callable[[Batch], tuple] = lambda batch: (batch["x"],),
    features: tuple[int, int] | None = None,
) -> Model:
    """A `Model` from a function that builds an nnx module, e.g. `lambda rngs: MyNet(rngs=rngs)`.

    `nnx.Param` variables become params; random streams are made anew from the key of each call; every other
    variable (batch statistics) becomes stats. Dropout and batch norm follow `module.train()` and `eval()`.

    features: (size, number of classes) of a module whose outputs are `head(features(...))`, two methods or layers.
              Raises PflError for a module that has them not.

    >>> from pfljax.models import losses
    >>> make = lambda rngs: nnx.Linear(3, 2, rngs=rngs)
    >>> model = from_nnx(make, losses.cross_entropy(), {"accuracy": losses.accuracy()})
    >>> model.init(jax.random.key(0)).params["kernel"].shape
    (3, 2)
    """

    def build(key):
        module = make(nnx.Rngs(keys.use(key, "init")))
        missing = [name for name in ("features", "head") if features is not None and not hasattr(module, name)]
        if missing:
            raise PflError(
                f"features: expected a module with `features` and `head`, got {type(module).__name__} without "
                f"{' and '.join(missing)}"
            )
        graph, params, random, rest = nnx.split(module, nnx.Param, nnx.RngState, ...)
        return graph, nnx.to_pure_dict(params), nnx.to_pure_dict(random), nnx.to_pure_dict(rest)

    graphs: list = []

    def shapes():
        graph, *states = build(jax.random.key(0))
        graphs.append(graph)
        return states

    # Abstract: building a model computes nothing; only the graph, which is static, is kept.
    _, random_shapes, _ = jax.eval_shape(shapes)
    graph = graphs[0]

    def init(key):
        _, params, _, stats = build(key)
        return Vars(params, stats)

    def alive(vars, key, train):
        module = nnx.merge(graph, vars.params, _random_state(random_shapes, key), vars.stats, copy=True)
        module.train() if train else module.eval()
        return module

    def stats_of(module, vars, train):
        *_, stats = nnx.split(module, nnx.Any(nnx.Param, nnx.RngState, nnx.Intermediate), ...)
        return nnx.to_pure_dict(stats) if train else vars.stats

    def apply(vars, batch, key, train):
        module = alive(vars, key, train)
        outputs = module(*inputs(batch))
        return outputs, stats_of(module, vars, train)

    def both(vars, batch, key, train):
        module = alive(vars, key, train)
        found = module.features(*inputs(batch))
        outputs = module.head(found)
        return found, outputs, stats_of(module, vars, train)

    known = None if features is None else Features(both, *features)
    return Model(init, apply, loss, tuple(metrics.items()), known)


def from_linen(
    module: linen.Module,
    example: Batch,
    loss: Loss,
    metrics: Mapping[str, Metric],
    *,
    inputs: Callable[[Batch], tuple] = lambda batch: (batch["x"],),
    train_argument: str | None = None,
) -> Model:
    """A `Model` from a linen module. `example` is a batch that shows shapes (its values are not used).

    The collection `params` becomes params, every other one stats. `train_argument` names the module's own
    training flag; an argument called `deterministic` or `use_running_average` is given its negation.
    """
    negated = train_argument in ("deterministic", "use_running_average")

    def flags(train) -> dict[str, Any]:
        return {} if train_argument is None else {train_argument: train != negated}

    def init(key):
        arguments = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), inputs(example))
        streams = {name: keys.use(key, name) for name in ("params", "dropout")}
        variables = dict(module.init(streams, *arguments, **flags(False)))
        return Vars(variables.pop("params"), variables)

    def apply(vars, batch, key, train):
        variables = {"params": vars.params, **vars.stats}
        rngs = {"dropout": key}
        if not train or not vars.stats:
            return module.apply(variables, *inputs(batch), rngs=rngs, **flags(train)), vars.stats
        outputs, stats = module.apply(variables, *inputs(batch), rngs=rngs, mutable=list(vars.stats), **flags(True))
        return outputs, dict(stats)

    return Model(init, apply, loss, tuple(metrics.items()))


def _random_state(shapes: Any, key: jax.Array) -> Any:
    leaves, tree = jax.tree.flatten(shapes)
    is_key = lambda leaf: jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    fresh = [
        jnp.broadcast_to(keys.at(key, index), leaf.shape) if is_key(leaf) else jnp.zeros(leaf.shape, leaf.dtype)
        for index, leaf in enumerate(leaves)
    ]
    return jax.tree.unflatten(tree, fresh)
