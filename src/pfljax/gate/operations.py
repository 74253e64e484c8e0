"""Arithmetic in a jaxpr, counted exactly: what a compiler's own estimate cannot say of loops.

A multiply-add of a contraction is two operations. An elementwise primitive is one per output element, a reduction one
per input element; moving numbers is free, and so is arithmetic on integers.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from pfljax.gate.primitives import LINEAR_ALGEBRA, MOVES, REDUCTIONS, TRANSCENDENTAL, WINDOWS

# One jaxpr's equation and an abstract value; JAX keeps their types to itself.
Equation = Any
Shaped = Any


class Operations(NamedTuple):
    """floating: operations on floats, those in `transcendental` (exp, tanh, sqrt ...) included.

    unknown_loops: loops whose length the jaxpr does not tell; their body is counted once.
    """

    floating: int = 0
    transcendental: int = 0
    unknown_loops: int = 0

    def plus(self, other: "Operations") -> "Operations":
        return Operations(*(mine + its for mine, its in zip(self, other, strict=True)))

    def times(self, factor: int) -> "Operations":
        """`factor` repetitions. The loops are the same loops."""
        return Operations(self.floating * factor, self.transcendental * factor, self.unknown_loops)


def operations(jaxpr) -> Operations:
    """The operations of a `Jaxpr` or `ClosedJaxpr`: a scan's body times its length, a cond's dearest branch.

    A `shard_map`'s body is counted for one device, a custom derivative's primal only.
    """
    return _sum(_of(equation) for equation in jaxpr.eqns)


def equations(jaxpr) -> Iterator[Equation]:
    """All equations of a jaxpr and of those within it, depth first."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in _inner(equation):
            yield from equations(inner)


def _of(equation: Equation) -> Operations:
    name, params = equation.primitive.name, equation.params
    if name == "scan":
        return operations(params["jaxpr"]).times(params["length"])
    if name == "while":
        once = operations(params["body_jaxpr"]).plus(operations(params["cond_jaxpr"]))
        return once._replace(unknown_loops=once.unknown_loops + 1)
    if name == "cond":
        branches = [operations(branch) for branch in params["branches"]]
        return Operations(*(max(counts) for counts in zip(*branches, strict=True)))
    if name == "reduce":
        return operations(params["jaxpr"]).times(_size(equation.invars[0]))
    if name in MOVES:
        return Operations()
    if not name.startswith("scatter"):  # whose inner jaxpr is applied to each update
        inner = list(_inner(equation))
        if inner:
            return _sum(operations(each) for each in inner)
    if not any(_is_float(var) for var in (*equation.invars, *equation.outvars)):
        return Operations()
    if name == "convert_element_type" and equation.invars[0].aval.dtype == equation.outvars[0].aval.dtype:
        return Operations()  # only the weakness of a type changes
    count = _arithmetic(equation)
    return Operations(count, count if name in TRANSCENDENTAL else 0)


def _arithmetic(equation: Equation) -> int:
    """The operations of a primitive on floats that holds no other jaxpr."""
    name, params = equation.primitive.name, equation.params
    if name in ("dot_general", "ragged_dot_general"):
        return 2 * _size(equation.outvars[0]) * _contracted(equation)
    if name == "conv_general_dilated":
        return 2 * _multiplications(equation)
    if name.startswith("scatter"):
        return _size(equation.invars[2])
    if name == "select_and_scatter_add":
        return _size(equation.invars[0]) * math.prod(params["window_dimensions"])
    if name in WINDOWS:
        return _size(equation.outvars[0]) * math.prod(params["window_dimensions"])
    if name == "sort":
        comparisons = math.ceil(math.log2(max(2, equation.invars[0].aval.shape[params["dimension"]])))
        return _size(equation.invars[0]) * comparisons
    if name in LINEAR_ALGEBRA:
        shape = equation.invars[0].aval.shape
        return math.prod(shape) * min(shape[-2:])
    return max((_size(var) for var in (equation.invars[:1] if name in REDUCTIONS else equation.outvars)), default=0)


def _sum(parts: Iterable[Operations]) -> Operations:
    total = Operations()
    for part in parts:
        total = total.plus(part)
    return total


def _inner(equation: Equation) -> Iterator[Any]:
    """The jaxprs among an equation's parameters, whatever they are called."""
    for value in equation.params.values():
        for each in value if isinstance(value, tuple | list) else (value,):
            if hasattr(each, "eqns"):
                yield each


def _size(var: Shaped) -> int:
    return math.prod(var.aval.shape)


def _is_float(var: Shaped) -> bool:
    dtype = getattr(var.aval, "dtype", None)  # tokens and references to state have none
    return dtype is not None and jnp.issubdtype(dtype, jnp.inexact)


def _contracted(equation: Equation) -> int:
    """The length of the sums of a matrix product."""
    numbers = equation.params.get("dimension_numbers") or equation.params["ragged_dot_dimension_numbers"]
    contracting = getattr(numbers, "dot_dimension_numbers", numbers)[0][0]
    return math.prod(equation.invars[0].aval.shape[axis] for axis in contracting)


def _multiplications(equation: Equation) -> int:
    """The multiplications of a convolution that meet a real input: neither padding nor a hole of a dilated input."""
    params, (lhs, rhs, out) = equation.params, (var.aval.shape for var in (*equation.invars[:2], equation.outvars[0]))
    numbers = params["dimension_numbers"]
    meetings = 1
    for index, (lhs_axis, rhs_axis, out_axis) in enumerate(
        zip(numbers.lhs_spec[2:], numbers.rhs_spec[2:], numbers.out_spec[2:], strict=True)
    ):
        begin = np.arange(out[out_axis])[:, None] * params["window_strides"][index] - params["padding"][index][0]
        position = begin + np.arange(rhs[rhs_axis])[None] * params["rhs_dilation"][index]
        hole = params["lhs_dilation"][index]
        is_real = (position >= 0) & (position <= (lhs[lhs_axis] - 1) * hole) & (position % hole == 0)
        meetings *= int(is_real.sum())
    # The kernel's input features are those of one group already.
    return meetings * out[numbers.out_spec[0]] * out[numbers.out_spec[1]] * rhs[numbers.rhs_spec[1]]
