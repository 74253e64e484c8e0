"""The state before the first round."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from pfljax import keys
from pfljax.engine.devices import by_client
from pfljax.engine.round import Clients
from pfljax.errors import PflError
from pfljax.types import Algorithm, Census, Tree, Vars


def initial_server(algorithm: Algorithm, census: Census, seeds: keys.Seeds, params: Vars | Tree | None = None) -> Tree:
    """The algorithm's server around model.init, or around `params` (a `Vars`, or a tree of params).

    Raises PflError if the tree is not the model's.
    """
    key = keys.root(seeds.model)
    vars = params if isinstance(params, Vars) else jax.jit(algorithm.model.init)(keys.use(key, "params"))
    if params is not None and not isinstance(params, Vars):
        expected, got = jax.tree.structure(vars.params), jax.tree.structure(params)
        if expected != got:
            raise PflError(f"params: expected the model's tree {expected}, got {got}")
        vars = vars._replace(params=params)
    hyper = {name: jnp.asarray(value, jnp.result_type(float)) for name, value in algorithm.hyper.items()}
    return algorithm.init(keys.use(key, "server"), vars, census, hyper)


def fresh_clients(algorithm: Algorithm, server: Tree, num_clients: int, mesh: Mesh) -> Clients:
    """Zeros for every client, visited nowhere; the client axis is padded to the mesh."""
    shape = jax.eval_shape(lambda s: algorithm.init_client(keys.root(0), algorithm.send(s, jnp.int32(0))), server)
    if not jax.tree.leaves(shape):
        return Clients(shape, ())
    padded = -(-num_clients // mesh.size) * mesh.size
    kept = jax.tree.map(lambda s: np.zeros((padded, *s.shape), s.dtype), shape)
    return jax.device_put(Clients(kept, np.zeros(padded, bool)), by_client(mesh))
