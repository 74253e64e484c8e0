"""What may not differ between a run and what goes on from it: {field: value}, compared field by field."""

import dataclasses
import functools
import json
import zlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pfljax.data.population import Population
from pfljax.errors import PflError
from pfljax.types import Algorithm

Fingerprint = dict[str, Any]
MOST_BYTES = 2**26  # of an array inside a function; of larger ones shape and dtype are looked at


def fingerprint(algorithm: Algorithm, population: Population, arguments: Mapping[str, Any]) -> Fingerprint:
    """Of a run by `pfl.rounds`. arguments: those of its arguments that decide what comes out.

    Functions are described by their names and by what they have captured, learning rates in them included.
    """
    import pfljax

    about = {
        "pfljax": pfljax.__version__,
        "population": {"name": population.about.name, "checksum": population.checksum()},
        **described(dict(arguments)),
        "algorithm": described(algorithm),
    }
    return json.loads(json.dumps(fields(about)))


def fields(value: Any, name: str = "") -> Fingerprint:
    """Nested dicts and lists as {path: scalar}.

    >>> fields({"a": {"b": 1, "c": [2, 3]}})
    {'a.b': 1, 'a.c.0': 2, 'a.c.1': 3}
    """
    if isinstance(value, Mapping):
        inside = value.items()
    elif isinstance(value, list | tuple):
        inside = enumerate(value)
    else:
        return {name: value}
    found = {}
    for key, each in inside:
        found |= fields(each, f"{name}.{key}" if name else str(key))
    return found


def differences(before: Fingerprint, now: Fingerprint) -> list[str]:
    """Every field that differs, with both values."""
    said = lambda one, key: repr(one[key]) if key in one else "nothing"
    return [
        f"{key} {said(before, key)}, got {said(now, key)}"
        for key in before | now
        if key not in before or key not in now or before[key] != now[key]
    ]


def check_same(what: str, before: Fingerprint, now: Fingerprint, remedy: str) -> None:
    """Raises PflError with every field that differs."""
    if found := differences(before, now):
        raise PflError(f"{what}: expected the run's {'; '.join(found)}; {remedy}")


def described(value: Any, met: dict[int, Any] | None = None) -> Any:
    """A value as dicts, lists and scalars that are the same in every process; what is met again is left out."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    met = {} if met is None else met  # by id; held, for an id is used again once its object is gone
    if id(value) in met:
        return {}
    met[id(value)] = value
    inside = lambda each: described(each, met)
    if isinstance(value, Mapping):
        return {str(key): inside(each) for key, each in value.items()}
    if hasattr(value, "_asdict"):
        return {name: inside(each) for name, each in value._asdict().items()}
    if isinstance(value, list | tuple):
        return [inside(each) for each in value]
    if isinstance(value, np.generic | np.ndarray | jax.Array):
        return _array(value)
    if isinstance(value, functools.partial):
        return {"function": inside(value.func), "arguments": inside(value.args), "named": inside(value.keywords)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type | Population) and not _is_foreign(value):
        return {each.name: inside(getattr(value, each.name, None)) for each in dataclasses.fields(value)}
    return _function(value, inside)


def _is_foreign(value: Any) -> bool:
    """Whether its insides are another library's, which may change from one day to the next."""
    return type(value).__module__.startswith(("flax.", "jax."))


def _function(value: Any, inside: Any) -> Any:
    """A function's name, what it is bound to and what it has captured; of anything else the name of its type."""
    function: Any = getattr(value, "__wrapped__", value)
    name = getattr(function, "__qualname__", type(value).__qualname__)
    cells = getattr(function, "__closure__", None) or ()
    names = function.__code__.co_freevars if cells else ()
    captured: dict[str, Any] = {name: inside(_content(cell)) for name, cell in zip(names, cells, strict=True)}
    if (owner := getattr(function, "__self__", None)) is not None and not isinstance(owner, type):
        captured["self"] = inside(owner)
    return {"function": name, **captured} if captured else name


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not yet assigned
        return None


def _array(value: Any) -> Any:
    if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        value = jax.random.key_data(value)
    if value.ndim == 0:
        return value.item()
    shape = f"{value.dtype}{list(value.shape)}"
    if value.nbytes > MOST_BYTES:
        return shape
    return f"{shape} {zlib.crc32(np.ascontiguousarray(value).tobytes()):08x}"
