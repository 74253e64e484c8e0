"""A model with low-rank adapters beside its matrices."""

import jax
import jax.numpy as jnp

from pfljax import keys
from pfljax.errors import PflError, whole
from pfljax.local import paths
from pfljax.types import Key, Model, Vars


def with_adapters(model: Model, rank: int = 4, kernels: str = "*kernel") -> Model:
    """The model whose matrices W that match `kernels` are W + A B. Hu et al., LoRA, ICLR 2022, eq. 3, without alpha.

    Parameters: {"base": the model's, "adapter": {path: {"a": [in, rank], "b": [rank, out]}}}; B starts at zero, so
    that the model starts as it was. Raises PflError if nothing matches, or something that is not a matrix.
    """
    whole("rank", rank)

    def merged(vars: Vars) -> Vars:
        base, adapter = vars.params["base"], vars.params["adapter"]
        changed = lambda path, w: w + adapter[name]["a"] @ adapter[name]["b"] if (name := _name(path)) in adapter else w
        return Vars(jax.tree_util.tree_map_with_path(changed, base), vars.stats)

    features = model.features
    if features is not None:
        plain = features.apply
        features = features._replace(apply=lambda vars, *rest: plain(merged(vars), *rest))
    return model._replace(
        init=lambda key: wrapped(model.init(key), rank, kernels, key),
        apply=lambda vars, *rest: model.apply(merged(vars), *rest),
        features=features,
    )


def wrapped(vars: Vars, rank: int = 4, kernels: str = "*kernel", key: Key | None = None) -> Vars:
    """A trained model's numbers with fresh adapters, to start from: `simulate(lora(...), ..., params=wrapped(...))`."""
    key = keys.use(keys.root(0) if key is None else key, "adapter")
    chosen = jax.tree.leaves(paths.mask(vars.params, kernels))
    leaves = jax.tree_util.tree_flatten_with_path(vars.params)[0]
    adapter = {}
    for index, ((path, leaf), is_chosen) in enumerate(zip(leaves, chosen, strict=True)):
        if not is_chosen:
            continue
        if leaf.ndim != 2:
            raise PflError(
                f"kernels {kernels!r}: expected matrices, got {paths.path_of(path)} of shape {leaf.shape}; "
                "use a narrower pattern"
            )
        a = jax.random.normal(keys.at(key, index), (leaf.shape[0], rank), leaf.dtype) * leaf.shape[0] ** -0.5
        adapter[_name(path)] = {"a": a, "b": jnp.zeros((rank, leaf.shape[1]), leaf.dtype)}
    return vars._replace(params={"base": vars.params, "adapter": adapter})


def _name(path: tuple) -> str:
    """A path as one key: no slashes, which would look like a path of its own."""
    return paths.path_of(path).replace("/", ".")
