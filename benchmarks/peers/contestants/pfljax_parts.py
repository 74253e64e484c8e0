"""A work as pfljax's population, model and parameter tree; shared by the contestants of its environment."""

import jax
import numpy as np

import pfljax as pfl
from peers import models
from peers.work import Work
from pfljax.types import Model, Tree, Vars


def population(work: Work) -> pfl.data.Population:
    """All rows are train rows."""
    about = pfl.data.About(name=work.name, num_classes=models.num_classes(work.model))
    ids = tuple(f"c{index}" for index in range(len(work.sizes)))
    bounds = np.stack([work.sizes, work.sizes], axis=1)
    return pfl.data.Population(
        arrays=work.arrays, offsets=work.offsets, bounds=bounds, ids=ids, groups=None, about=about
    )


def model(work: Work, population: pfl.data.Population) -> Model:
    about = work.model
    if about["kind"] == "mlp":
        return pfl.models.mlp(population, tuple(about["sizes"][1:-1]))
    if about["kind"] == "cnn":
        return pfl.models.cnn(population, tuple(about["features"]), about["hidden"])
    return pfl.models.attention_lm(population, about["features"], about["heads"], about["hidden"])


def start(work: Work, model: Model) -> Vars:
    """The model's own tree, filled with the work's numbers by name."""
    made, taken = model.init(jax.random.key(0)), set()

    def fill(path, leaf):
        name = _name(path)
        taken.add(name)
        if work.params[name].shape != leaf.shape:
            raise ValueError(f"{name}: expected shape {leaf.shape}, got {work.params[name].shape}")
        return work.params[name]

    params = jax.tree_util.tree_map_with_path(fill, made.params)
    if taken != set(work.params):
        raise ValueError(f"parameters: expected {sorted(work.params)}, the model has {sorted(taken)}")
    return made._replace(params=params)


def named(params: Tree) -> dict[str, np.ndarray]:
    return {_name(path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]}


def loss(work: Work, model: Model, vars: Vars) -> float:
    """The mean loss over all rows."""
    batch = {name: jax.numpy.asarray(array) for name, array in work.arrays.items()}
    batch["mask"] = jax.numpy.ones(len(work.arrays["y"]), bool)
    value, weight = model.loss(model.apply(vars, batch, jax.random.key(0), False)[0], batch)
    return float((value * weight).sum() / weight.sum())


def _name(path: tuple) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")
