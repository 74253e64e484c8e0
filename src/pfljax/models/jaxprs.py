"""Reading what a function would compute, as JAX traced it."""

from collections.abc import Iterator
from typing import Any


def equations(jaxpr: Any) -> Iterator[Any]:
    """All equations of a `Jaxpr`, those of the jaxprs within them included."""
    for equation in jaxpr.eqns:
        yield equation
        for body in inner(equation):
            yield from equations(body)


def inner(equation: Any) -> list[Any]:
    """The jaxprs that an equation holds: of a jit, a loop, branches, a custom derivative."""
    held = [value if isinstance(value, tuple | list) else (value,) for value in equation.params.values()]
    return [getattr(each, "jaxpr", each) for values in held for each in values if hasattr(each, "eqns")]
