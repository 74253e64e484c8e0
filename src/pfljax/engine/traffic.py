"""What a method moves and keeps, read off its own functions: nothing of it is declared, so nothing can lie."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Var

from pfljax import keys
from pfljax.data.population import Population
from pfljax.engine.place import max_count, placed_on_host, shard_of
from pfljax.engine.start import initial_server
from pfljax.types import Algorithm, At, Census, Each, Mean, Sum, Tree

SIGHT = ("nothing", "sums", "sums per slot", "individuals")  # the more to the right, the more the server sees
INDEX = 4  # bytes of a slot's number, which is what a client in one of several slots has to tell


@dataclass(frozen=True)
class Traffic:
    """Bytes of one client in one round, over all passes; what the server sees of it.

    download: the leaves of `Sent` that the client's functions read; kept: state between rounds
    sees:     "nothing", "sums", "sums per slot" or "individuals"
    is_named: whether the model that is sent depends on who asks, so that a stranger is sent another one
    """

    download: int
    upload: int
    kept: int
    sees: str
    is_named: bool
    num_passes: int


def traffic(algorithm: Algorithm, population: Population) -> Traffic:
    """Traces the client's functions; nothing is computed. Sizes may depend on the population's shapes."""
    sizes = population.sizes("train")
    census = Census(population.num_clients, np.ones(population.num_clients, bool), sizes)
    server = jax.eval_shape(lambda: initial_server(algorithm, census, keys.seeds(0)))
    row, key = jax.ShapeDtypeStruct((), np.int32), jax.eval_shape(lambda: keys.root(0))
    sent = jax.eval_shape(algorithm.send, server, row)
    mine = jax.eval_shape(algorithm.init_client, key, sent)
    placed, most = placed_on_host(population.take([0])), max_count(population)
    down, up, sees = 0, 0, "nothing"
    for client, _ in algorithm.passes:

        def one(sent, mine, key, row, client=client):
            shard = shard_of(jax.tree.map(jnp.asarray, placed), row, row, most)
            upload, mine, _ = client(key, sent, mine, shard)
            return _without_checks(upload), mine

        jaxpr, out = jax.make_jaxpr(one, return_shape=True)(sent, mine, key, row)
        read = _is_read(jaxpr)[: len(jax.tree.leaves(sent))]
        down += sum(_bytes(leaf) for leaf, is_read in zip(jax.tree.leaves(sent), read, strict=True) if is_read)
        up, sees = up + _upload_bytes(out[0]), max(sees, _sees(out[0]), key=SIGHT.index)
    *_, is_named = _is_read(jax.make_jaxpr(lambda server, row: algorithm.send(server, row).vars)(server, row))
    kept = sum(map(_bytes, jax.tree.leaves(mine)))
    return Traffic(down, up, kept, sees, is_named, len(algorithm.passes))


def _is_read(jaxpr: ClosedJaxpr) -> list[bool]:
    """[input]: whether any output depends on it."""
    needed = {var for var in jaxpr.jaxpr.outvars if isinstance(var, Var)}
    for equation in reversed(jaxpr.jaxpr.eqns):
        if needed.intersection(equation.outvars):
            needed |= {var for var in equation.invars if isinstance(var, Var)}
    return [var in needed for var in jaxpr.jaxpr.invars]


def _without_checks(upload: Tree) -> Tree:
    """The upload as it is sent: `finite_if` stays where it is."""
    is_sum = lambda x: isinstance(x, Mean | Sum)
    return jax.tree.map(lambda x: x._replace(finite_if=None) if is_sum(x) else x, upload, is_leaf=is_sum)


def _nodes(upload: Tree) -> list:
    return jax.tree.leaves(upload, is_leaf=lambda x: isinstance(x, Mean | Sum | At | Each))


def _upload_bytes(upload: Tree) -> int:
    total = 0
    for node in _nodes(upload):
        inside = INDEX + _upload_bytes(node.node) if isinstance(node, At) else sum(map(_bytes, jax.tree.leaves(node)))
        total += inside
    return total


def _sees(upload: Tree) -> str:
    kinds = {Each: "individuals", At: "sums per slot", Mean: "sums", Sum: "sums"}
    return max((kinds[type(node)] for node in _nodes(upload)), key=SIGHT.index, default="nothing")


def _bytes(leaf) -> int:
    return leaf.size * leaf.dtype.itemsize
