"""Which of a model's parameters become kernels of `lax` convolutions, which crawl once every client has its own."""

from collections.abc import Callable, Mapping, Sequence

import jax

from pfljax.local.paths import path_of
from pfljax.models.jaxprs import inner
from pfljax.types import Model

Names = frozenset[str]  # of the parameters that a value is computed from


def per_client_convolutions(model: Model, batch: Mapping[str, jax.ShapeDtypeStruct]) -> tuple[str, ...]:
    """Names (`body/0/kernel`) of the parameters that reach the kernel of a `lax.conv_general_dilated` in training.

    batch: shapes of the arrays that the model reads, "mask": [batch] bool among them. Nothing is computed. Filters
    that are no parameters are not named: they are the same for all clients.
    """
    key = jax.eval_shape(jax.random.key, 0)
    vars = jax.eval_shape(model.init, key)
    traced = jax.make_jaxpr(lambda vars, batch, key: model.apply(vars, batch, key, True))(vars, dict(batch), key)
    names = [path_of(path) for path, _ in jax.tree_util.tree_flatten_with_path(vars.params)[0]]
    found: set[str] = set()
    rest = len(traced.jaxpr.invars) - len(names)
    _follow(traced.jaxpr, [*map(lambda name: frozenset([name]), names), *[frozenset[str]()] * rest], found)
    return tuple(name for name in names if name in found)


def _follow(jaxpr, given: Sequence[Names], found: set[str]) -> list[Names]:
    """The names behind each output, from those behind each input; `found` gains those behind kernels."""
    jaxpr = getattr(jaxpr, "jaxpr", jaxpr)  # of a closed one
    known = dict(zip(jaxpr.invars, given, strict=True))
    read = lambda atom: frozenset[str]() if hasattr(atom, "val") else known.get(atom, frozenset())  # val: a literal
    for equation in jaxpr.eqns:
        arguments = [read(atom) for atom in equation.invars]
        if equation.primitive.name == "conv_general_dilated":
            found |= arguments[1]
        known.update(zip(equation.outvars, _through(equation, arguments, found), strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _through(equation, arguments: list[Names], found: set[str]) -> list[Names]:
    params, bodies = equation.params, inner(equation)
    follow = lambda body: lambda given: _follow(body, given, found)
    match equation.primitive.name:
        case "scan":
            num_consts, num_carry = _of_scan(params)
            return _loop(follow(params["jaxpr"]), arguments, num_consts, num_consts + num_carry)
        case "while":
            first = params["cond_nconsts"]
            return _loop(follow(params["body_jaxpr"]), arguments[first:], params["body_nconsts"], None)
        case "cond":
            results = [_follow(branch, arguments[1:], found) for branch in params["branches"]]
            return [frozenset().union(*names) for names in zip(*results, strict=True)]
    if len(bodies) == 1 and len(bodies[0].invars) == len(arguments):  # jit, remat, custom derivatives
        return _follow(bodies[0], arguments, found)
    everything = frozenset().union(*arguments)
    for body in bodies:  # who feeds whom is not known here: rather a name too many
        _follow(body, [everything] * len(body.invars), found)
    return [everything] * len(equation.outvars)


def _of_scan(params) -> tuple[int, int]:
    """How many of a scan's arguments are constants and how many are carried; jax 0.12 tells by a tree of arguments."""
    if "num_consts" in params:
        return params["num_consts"], params["num_carry"]
    consts, carry, _ = (len(list(part)) for part in params["ft_in"].elts)
    return consts, carry


def _loop(body: Callable, arguments: list[Names], first: int, last: int | None) -> list[Names]:
    """A body whose arguments [first:last] are carried, until another turn adds no name."""
    fixed, carry, rest = arguments[:first], arguments[first:last], arguments[last:] if last is not None else []
    while True:
        results = body([*fixed, *carry, *rest])
        grown = [old | new for old, new in zip(carry, results, strict=False)]
        if grown == carry:
            return results
        carry = grown
