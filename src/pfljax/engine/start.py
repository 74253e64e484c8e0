"""The state before the first round."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from pfljax import keys
from pfljax.engine.devices import by_client, put
from pfljax.engine.memory import free_bytes, num_bytes, said
from pfljax.engine.shelf import Clients, Shelf, ordered, shapes
from pfljax.errors import PflError
from pfljax.local import paths
from pfljax.types import Algorithm, Census, Tree, Vars


def initial_server(algorithm: Algorithm, census: Census, seeds: keys.Seeds, params: Vars | Tree | None = None) -> Tree:
    """The algorithm's server around model.init, or around `params` (a `Vars`, or a tree of params).

    Raises PflError if its leaves, shapes or dtypes are not the model's.
    """
    key = keys.root(seeds.model)
    if params is None:
        vars = _fresh(algorithm, key)
    else:
        vars = params if isinstance(params, Vars) else _fresh(algorithm, key)._replace(params=params)
        _same(jax.eval_shape(algorithm.model.init, key), vars)
    hyper = {name: jnp.asarray(value, jnp.result_type(float)) for name, value in algorithm.hyper.items()}
    return algorithm.init(keys.use(key, "server"), vars, census, hyper)


def _fresh(algorithm: Algorithm, key: jax.Array) -> Vars:
    return jax.jit(algorithm.model.init)(keys.use(key, "params"))


def _same(expected: Vars, got: Vars) -> None:
    name = lambda tree: {paths.path_of(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]}
    one, other = name(expected), name(got)
    for path in sorted(one.keys() | other.keys()):
        shapes = [f"{t[path].dtype}{list(t[path].shape)}" if path in t else "nothing" for t in (one, other)]
        if shapes[0] != shapes[1]:
            raise PflError(f"params: expected the model's {path} to be {shapes[0]}, got {shapes[1]}")


def client_shapes(algorithm: Algorithm, server: Tree, num_clients: int, mesh: Mesh) -> Clients:
    """The kept state of every client as shapes; the client axis is padded to the mesh. server: arrays or shapes"""
    shape = jax.eval_shape(lambda s: algorithm.init_client(keys.root(0), algorithm.send(s, jnp.int32(0))), server)
    if not jax.tree.leaves(shape):
        return Clients(shape, ())
    padded, here = -(-num_clients // mesh.size) * mesh.size, by_client(mesh)
    kept = jax.tree.map(lambda s: jax.ShapeDtypeStruct((padded, *s.shape), s.dtype, sharding=here), shape)
    return Clients(kept, jax.ShapeDtypeStruct((padded,), bool, sharding=here))


def fresh_shelf(name: str, clients: Clients, num_slots: int, mesh: Mesh) -> Shelf:
    """Zeros for every client, visited nowhere. name: of the method; clients: shapes; num_slots: free rows on a device

    Raises PflError if they do not fit into the devices' free memory.
    """
    shelf = shapes(clients, num_slots, mesh)
    needed = num_bytes(shelf) // mesh.size
    if needed > (free := free_bytes(mesh)):
        raise PflError(
            f"{name}: expected the kept state of {len(clients.visited)} clients to fit into {said(free)} of free "
            f"memory on each of {mesh.size} devices, got {said(needed)}; use a smaller model, fewer clients or a "
            "stateless algorithm"
        )
    zeros = lambda s: np.zeros(s.shape, s.dtype)
    return ordered(put(jax.tree.map(zeros, shelf.rows), by_client(mesh)), num_slots, mesh)
