"""What personalization must be compared with: no model, no federation, somebody else's data."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from pfljax import keys
from pfljax.algorithms.fedavg_finetune import fedavg_finetune
from pfljax.data.population import Population
from pfljax.engine.result import Result
from pfljax.engine.shelf import Clients
from pfljax.engine.start import initial_server
from pfljax.errors import PflError
from pfljax.local import Optimizer, predict, shared_start, stay
from pfljax.types import Algorithm, Model, Personal, Vars

NEWTON_STEPS, NEWTON_END = 50, 1e-5


def alone(result: Result, client_opt: Optimizer | None = None, batch: int | None = 32) -> Result:
    """Local-only training that has not begun, on the clients, seeds and devices of `result`.

    Its adaptation curve is what every client reaches alone from the model's random start. No state is kept for it:
    it is `local_only` before the first round.
    """
    algorithm = _alone(result.algorithm.model, client_opt, batch)
    server = initial_server(algorithm, result.census, result.seeds)
    return replace(result, algorithm=algorithm, server=server, clients=Clients((), ()), records=())


def shared(result: Result) -> Result:
    """The server's model as it is, for everybody."""
    model = result.algorithm.model
    algorithm = result.algorithm._replace(
        name="shared", init_client=_no_state, personal=(shared_start, stay), predict=_predict_with(model)
    )
    return replace(result, algorithm=algorithm, clients=Clients((), ()))


def constant(result: Result, population: Population) -> Result:
    """The model that always gives the same output: the seen clients' class frequencies, or for numbers the output
    with the least loss on the seen clients' train rows.

    Raises PflError for populations whose `y` is neither classes [row] nor floats.
    """
    if not has_constant(population):
        raise PflError("constant: expected 'y: [row]' of classes below about.num_classes, or of floats; leave it out")
    starts, counts = population.span("train")
    rows = np.concatenate([np.arange(starts[c], starts[c] + counts[c]) for c in np.flatnonzero(result.seen)])
    labels, num_classes = population.arrays["y"], population.about.num_classes
    if labels.dtype.kind == "f":
        output = _least_loss(result.algorithm.model, {name: array[rows] for name, array in population.arrays.items()})
    else:
        frequency = np.bincount(labels[rows].astype(np.int64), minlength=num_classes) + 1e-3
        output = jnp.asarray(np.log(frequency / frequency.sum()), float)
    server = Personal(Vars({"output": output}), (), jnp.int32(0))
    algorithm = result.algorithm._replace(
        name="constant", send=_send, init_client=_no_state, personal=(_start, stay), predict=_predict
    )
    return replace(result, algorithm=algorithm, server=server, clients=Clients((), ()), records=())


def has_constant(population: Population) -> bool:
    """Whether `constant` knows what to predict."""
    labels = population.arrays.get("y")
    if labels is None or labels.dtype.kind == "f":
        return labels is not None
    return labels.dtype.kind in "iu" and labels.ndim == 1 and population.about.num_classes > 0


def _least_loss(model: Model, arrays: dict[str, np.ndarray]) -> jax.Array:
    """[...]: the output that, given to every example, has the least mean loss. Newton's method, halved where too far.

    The losses of numbers (squared error, Poisson) are convex in it.
    """
    batch = {name: jnp.asarray(array) for name, array in arrays.items()}
    num_rows = len(arrays["y"])
    batch["mask"] = jnp.ones(num_rows, bool)
    one = {name: array[:1] for name, array in batch.items()}
    outputs, _ = jax.eval_shape(lambda key: model.apply(model.init(key), one, key, False), jax.random.key(0))
    shape = outputs.shape[1:]

    def loss(output: jax.Array) -> jax.Array:
        each = model.loss(jnp.broadcast_to(output.reshape(shape), (num_rows, *shape)), batch)
        return (each.value * each.weight).sum() / each.weight.sum()

    output = jnp.zeros(int(np.prod(shape)), outputs.dtype)
    for _ in range(NEWTON_STEPS):
        slope, curve = jax.grad(loss)(output), jax.hessian(loss)(output)
        step = jnp.linalg.lstsq(curve, slope)[0]
        while loss(output - step) > loss(output) and jnp.abs(step).max() > NEWTON_END:
            step = step / 2
        output = output - step
        if jnp.abs(step).max() <= NEWTON_END:
            break
    return output.reshape(shape)


def donors(result: Result) -> np.ndarray:
    """[client] rows: for every client a seen one of another group.

    Raises PflError if all seen clients are of one group.
    """
    population, generator = result.population, keys.host(result.seeds.split, "donors")
    _, group = np.unique(population.groups or population.ids, return_inverse=True)
    seen = generator.permutation(np.flatnonzero(result.seen))
    if len(np.unique(group[seen])) < 2:
        raise PflError("donors: expected seen clients of at least two groups, got one; leave the control out")
    # The next one in a random circle that is of another group.
    begin = generator.integers(len(seen), size=len(group))
    chosen = seen[begin]
    while (same := group[chosen] == group).any():
        begin = np.where(same, (begin + 1) % len(seen), begin)
        chosen = seen[begin]
    return chosen.astype(np.int32)


# Named functions, not closures: a second evaluation finds the first one's compiled program by them.
def _send(server, row):
    return server


def _no_state(key, sent):
    return ()


def _start(key, sent, mine, shard):
    return sent


def _predict(personal, batch):
    output = personal.vars.params["output"]
    return jnp.broadcast_to(output, (batch["mask"].shape[0], *output.shape))


@cache
def _alone(model: Model, client_opt: Optimizer | None, batch: int | None) -> Algorithm:
    return fedavg_finetune(model, personal_opt=client_opt, personal_batch=batch, steps=1)._replace(name="local_only")


_predict_with = cache(predict)
