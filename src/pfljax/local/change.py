"""What most methods upload: how far a client moved from where it started."""

from typing import Literal, get_args

import jax
import jax.numpy as jnp

from pfljax.errors import PflError
from pfljax.types import Mean, Vars

Weighting = Literal["examples", "uniform"]


def change(begin: Vars, end: Vars, shard, weighting: Weighting) -> Mean:
    """begin - end of the parameters and the new statistics, weighted by the client's train rows or as one."""
    delta = jax.tree.map(jnp.subtract, begin.params, end.params)
    return Mean(Vars(delta, end.stats), weight(shard, weighting), finite_if=end)


def weight(shard, weighting: Weighting) -> jax.Array:
    """How much a client counts in a mean."""
    count = shard.train.count
    return (count if weighting == "examples" else jnp.ones_like(count)).astype(jnp.float32)


def check_weighting(weighting: str) -> None:
    if weighting not in get_args(Weighting):
        raise PflError(f"weighting: expected one of {', '.join(get_args(Weighting))}, got {weighting!r}")
