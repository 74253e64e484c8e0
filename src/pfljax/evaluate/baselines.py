"""What personalization must be compared with: no model, no federation, somebody else's data."""

from dataclasses import replace
from functools import cache

import jax.numpy as jnp
import numpy as np

from pfljax import keys
from pfljax.algorithms.fedavg_finetune import fedavg_finetune
from pfljax.data.population import Population
from pfljax.engine.result import Result
from pfljax.engine.round import Clients
from pfljax.engine.start import initial_server
from pfljax.errors import PflError
from pfljax.local import Optimizer, predict, shared_start, stay
from pfljax.types import Algorithm, Model, Personal, Vars


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
    """The model that always predicts the seen clients' class frequencies.

    For populations whose `y: [row]` holds classes; raises PflError for others.
    """
    labels, num_classes = population.arrays.get("y"), population.about.num_classes
    if labels is None or labels.ndim != 1 or labels.dtype.kind not in "iu" or num_classes < 1:
        raise PflError("constant: expected integer classes 'y: [row]' and about.num_classes >= 1; leave it out")
    starts, counts = population.span("train")
    rows = np.concatenate([np.arange(starts[c], starts[c] + counts[c]) for c in np.flatnonzero(result.seen)])
    frequency = np.bincount(labels[rows].astype(np.int64), minlength=num_classes) + 1e-3
    logits = jnp.asarray(np.log(frequency / frequency.sum()), float)
    server = Personal(Vars({"logits": logits}), (), jnp.int32(0))
    algorithm = result.algorithm._replace(
        name="constant", send=_send, init_client=_no_state, personal=(_start, stay), predict=_predict
    )
    return replace(result, algorithm=algorithm, server=server, clients=Clients((), ()), records=())


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
    logits = personal.vars.params["logits"]
    return jnp.broadcast_to(logits, (batch["mask"].shape[0], *logits.shape))


@cache
def _alone(model: Model, client_opt: Optimizer | None, batch: int | None) -> Algorithm:
    return fedavg_finetune(model, personal_opt=client_opt, personal_batch=batch, steps=1)._replace(name="local_only")


_predict_with = cache(predict)
