"""A multilayer perceptron with one output, for amounts and counts."""

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from pfljax.data.population import Population
from pfljax.errors import PflError
from pfljax.models import losses
from pfljax.models.adapters import from_nnx
from pfljax.models.mlp import Mlp
from pfljax.types import Batch, Metric, Model, Weighted


def regressor(
    population: Population,
    hidden: Sequence[int] = (16,),
    activation=jax.nn.tanh,
    loss: Callable[[jax.Array, Batch], Weighted] | None = None,
    metrics: Mapping[str, Metric] | None = None,
) -> Model:
    """Predicts `y: [example]` float from `x: [example, ...]`. Parameters: `body/0`, `body/1`, ... and `head`.

    loss, metrics: of outputs [batch]; default: `losses.squared_error` and the mean squared error `mse`

    Raises PflError if the population has no `x`, or no float `y: [row]`.
    """
    arrays = population.arrays
    got = {name: f"{arrays[name].dtype}{list(arrays[name].shape)}" for name in ("x", "y") if name in arrays}
    if len(got) < 2 or arrays["y"].ndim != 1 or arrays["y"].dtype.kind != "f":
        raise PflError(f"regressor: expected arrays 'x' and float y: [row], got {got or sorted(arrays)}; use mlp")
    size = int(np.prod(arrays["x"].shape[1:]))
    squared = losses.squared_error()
    made = from_nnx(
        lambda rngs: Mlp((size, *hidden, 1), activation, rngs),
        loss or squared,
        metrics or {"mse": losses.averaged(squared, scale=2.0)},
        inputs=lambda batch: (batch["x"].astype(jnp.float32),),
    )

    def apply(vars, batch, key, train):
        outputs, stats = made.apply(vars, batch, key, train)
        return outputs[:, 0], stats

    return made._replace(apply=apply)
