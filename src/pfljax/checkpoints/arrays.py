"""A snapshot's state as named plain arrays, and back in the places where a run wants it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pfljax.engine import Snapshot


class Leaf(NamedTuple):
    """value: array or shape; is_kept: it has a row for each client, padded to the devices"""

    path: str
    value: Any
    is_kept: bool

    @property
    def is_keys(self) -> bool:
        return jnp.issubdtype(self.value.dtype, jax.dtypes.prng_key)

    @property
    def about(self) -> str:
        """Dtype and shape, whatever the padding."""
        shape = ", ".join(map(str, self.value.shape[1:] if self.is_kept else self.value.shape))
        return f"{self.value.dtype}[{'client, ' * self.is_kept}{shape}]"


def leaves(snapshot: Snapshot) -> list[Leaf]:
    """The state of a snapshot, arrays or shapes, in a fixed order."""
    found = []
    for part, is_kept in (("servers", False), ("clients", True)):
        for path, value in jax.tree_util.tree_leaves_with_path(getattr(snapshot, part)):
            found.append(Leaf(f"{part}/{jax.tree_util.keystr(path, simple=True, separator='/')}", value, is_kept))
    return found


def abouts(snapshot: Snapshot) -> dict[str, str]:
    """{path: dtype and shape}, the same for every number of devices."""
    return {leaf.path: leaf.about for leaf in leaves(snapshot)}


def plain(snapshot: Snapshot) -> dict[str, Any]:
    """{number of the leaf: array}: keys as their data; without empty arrays, which cannot be stored."""
    numbered = enumerate(leaves(snapshot))
    return {
        _name(number): jax.random.key_data(leaf.value) if leaf.is_keys else leaf.value
        for number, leaf in numbered
        if leaf.value.size
    }


def wanted(shapes: Snapshot) -> Any:
    """What to ask orbax for: each array sharded as its shape says, numpy where that says nothing.

    Clients past those that were saved get zeros.
    """
    import orbax.checkpoint as ocp

    item: dict[str, Any] = {}
    arguments: dict[str, Any] = {}
    for number, leaf in enumerate(leaves(shapes)):
        name, sharding = _name(number), leaf.value.sharding
        if not leaf.value.size:
            continue
        data = jax.eval_shape(jax.random.key_data, leaf.value) if leaf.is_keys else leaf.value
        item[name] = jax.ShapeDtypeStruct(data.shape, data.dtype, sharding=sharding)
        if sharding is None:
            arguments[name] = ocp.RestoreArgs(restore_type=np.ndarray)
        else:
            arguments[name] = ocp.ArrayRestoreArgs(
                sharding=sharding, global_shape=data.shape, dtype=data.dtype, strict=not leaf.is_kept
            )
    return ocp.args.PyTreeRestore(item, restore_args=arguments)


def state(shapes: Snapshot, found: dict[str, Any]) -> tuple:
    """(servers, clients) of the arrays that orbax gave for `wanted`."""
    made = [_placed(leaf, found.get(_name(number))) for number, leaf in enumerate(leaves(shapes))]
    return jax.tree.unflatten(jax.tree.structure((shapes.servers, shapes.clients)), made)


def _name(number: int) -> str:
    return f"{number:04d}"


def _placed(leaf: Leaf, found: Any) -> Any:
    shape = leaf.value
    if found is None:
        empty = np.zeros(shape.shape, shape.dtype)
        return empty if shape.sharding is None else jax.device_put(empty, shape.sharding)
    if leaf.is_keys:
        return jax.random.wrap_key_data(found, impl=_impl(shape))
    if shape.sharding is not None:
        return found
    whole = np.zeros(shape.shape, shape.dtype)  # written in place by the run
    num = min(len(whole), len(found)) if leaf.is_kept else len(whole)
    whole[:num] = found[:num]
    return whole


def _impl(shape: jax.ShapeDtypeStruct) -> Any:
    """Which generator's keys an array holds: only arrays say so."""
    met = []
    jax.eval_shape(lambda key: met.append(jax.random.key_impl(key)), shape)
    return met[0]
