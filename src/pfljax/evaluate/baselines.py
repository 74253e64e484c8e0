"""What personalization must be compared with: no model, no federation, somebody else's data."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from pfljax import keys
from pfljax.data.population import Population
from pfljax.engine.result import Result
from pfljax.engine.round import Clients
from pfljax.engine.start import fresh_clients, initial_server
from pfljax.errors import PflError
from pfljax.local import shared_start, stay
from pfljax.types import Algorithm, Personal, Vars


def untrained(result: Result, algorithm: Algorithm) -> Result:
    """`algorithm` before its first round, on the clients, seeds and devices of `result`.

    With `local_only` its adaptation curve is what every client reaches alone.
    """
    server = initial_server(algorithm, result.census, result.seeds)
    clients = fresh_clients(algorithm, server, len(result.ids), result.mesh)
    return replace(result, algorithm=algorithm, server=server, clients=clients, records=())


def shared(result: Result) -> Result:
    """The server's model as it is, for everybody."""
    model = result.algorithm.model
    algorithm = result.algorithm._replace(
        name="shared", init_client=_no_state, personal=(shared_start, stay), predict=_predict_with(model.apply)
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
    """[client] rows: for every client another one, seen, whose data it may not have learnt from."""
    generator = keys.host(result.seeds.split, "donors")
    seen = generator.permutation(np.flatnonzero(result.seen))
    chosen = generator.choice(seen, len(result.ids))
    chosen[seen] = np.roll(seen, 1)
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
def _predict_with(apply):
    return lambda personal, batch: apply(personal.vars, batch, jax.random.key(0), False)[0]
