"""Every protocol of the project on one page: models, what clients and server exchange, algorithms.

Named axes used in all docstrings: [client], [example], [batch], [step], [feature].
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

Array = jax.Array | np.ndarray  # on a device, or on the host on its way there
Key = jax.Array
Tree = Any  # any pytree of arrays
Batch = Mapping[str, jax.Array]  # {name: [batch, ...]} and "mask": [batch] bool, False on padding
Info = dict[str, jax.Array]  # scalars to look at, never carried


class Vars(NamedTuple):
    """A model's numbers: `params` move by gradients, `stats` (batch statistics) by assignment."""

    params: Tree
    stats: Tree = ()


class Weighted(NamedTuple):
    """One number per example and how much it counts. value, weight: [batch] float."""

    value: jax.Array
    weight: jax.Array


class Metric(NamedTuple):
    """A figure that merges over batches: sums of `stat` over examples, then `finalize` once.

    stat:     (outputs, batch) -> pytree of [batch, ...]; padding is masked by the library
    finalize: sums -> scalar
    better:   which end of the scale is good
    """

    stat: Callable[[Tree, Batch], Tree]
    finalize: Callable[[Tree], jax.Array]
    better: Literal["higher", "lower"] = "higher"


class Features(NamedTuple):
    """What a model's last layer reads, for methods that compare examples by it.

    apply: (vars, batch, key, train) -> (features [batch, size], outputs, stats), the last two as `Model.apply` gives
           them
    """

    apply: Callable[[Vars, Batch, Key, bool], tuple[jax.Array, Tree, Tree]]
    size: int
    num_classes: int


class Model(NamedTuple):
    """A model as pure functions. The first metric is the one that choices are made by.

    init:    key -> Vars
    apply:   (vars, batch, key, train) -> (outputs, stats); padded rows are those with batch["mask"] False
    loss:    (outputs, batch) -> Weighted; the library masks and averages, so padding never counts
    metrics: ((name, Metric), ...)
    features: for the methods that need them, or None
    """

    init: Callable[[Key], Vars]
    apply: Callable[[Vars, Batch, Key, bool], tuple[Tree, Tree]]
    loss: Callable[[Tree, Batch], Weighted]
    metrics: tuple[tuple[str, Metric], ...]
    features: Features | None = None


class Mean(NamedTuple):
    """An upload that is averaged over the cohort: sum(weight * value) / sum(weight). weight: scalar.

    finite_if: a tree, never sent, with which value is finite or not; None for value itself. A difference that is only
               added up need not be stored if its end is looked at instead
    """

    value: Tree
    weight: jax.Array
    finite_if: Tree = None


class Sum(NamedTuple):
    """An upload that is added up over the cohort. finite_if: as in `Mean`."""

    value: Tree
    finite_if: Tree = None


class At(NamedTuple):
    """`Mean` and `Sum` kept apart for each slot (a cluster, say): the result has a leading axis [slot].

    slot: [slot] float, one at the client's own and zero elsewhere; node: a tree of `Mean` and `Sum`
    """

    slot: jax.Array
    node: Tree


class Each(NamedTuple):
    """An upload that the server sees client by client, [client, ...], in the order of `Aggregate.rows`.

    It costs memory for the whole cohort on every device; means and sums cost none.
    """

    value: Tree


class Aggregate(NamedTuple):
    """What the server sees of a round: the uploads' tree with every node replaced by its result.

    rows, mask: [client] the cohort's population rows, rising, and whose upload counted; () without an `Each`
    """

    value: Tree
    num_reported: jax.Array  # clients whose upload counted
    num_expected: jax.Array  # clients that were asked
    rows: Any = ()
    mask: Any = ()


class Census(NamedTuple):
    """What is known before the first round. Rows index the whole population, seen or not."""

    num_clients: int
    seen: np.ndarray  # [client] bool
    sizes: np.ndarray  # [client] int64, train rows


class Sent(NamedTuple):
    """All that a client may read from the server; what its functions do read is the download.

    extra: what the method needs beside a model (a control variate, other clusters' models); () for most
    """

    vars: Vars
    round: jax.Array
    hyper: dict[str, jax.Array]
    extra: Tree = ()


class Server(NamedTuple):
    """The server state of methods that keep one model and one optimizer."""

    vars: Vars
    opt_state: Tree
    round: jax.Array  # rounds that moved the server
    hyper: dict[str, jax.Array]
    extra: Tree = ()


class Personal(NamedTuple):
    """A model on its way to being one client's own: `step` adaptation steps done."""

    vars: Vars
    opt_state: Tree
    step: jax.Array


class Algorithm(NamedTuple):
    """A federated method as pure functions about ONE client (and one server). See docs/design.md.

    `Shard` is `pfljax.data.shard.Shard`. Upload: a pytree of `Mean`, `Sum`, `At` and `Each`.
    """

    name: str
    model: Model
    hyper: Mapping[str, float]  # traced: another value compiles nothing
    init: Callable[..., Tree]  # (key, Vars, Census, hyper) -> Server
    send: Callable[..., Any]  # (Server, row) -> Sent
    init_client: Callable[..., Tree]  # (key, Sent) -> Client, at a client's first participation; () if none
    passes: tuple[tuple[Callable, Callable], ...]
    #   client: (key, Sent, Client, Shard) -> (Upload, Client, Info)
    #   server: (key, Server, Aggregate) -> (Server, Info)
    personal: tuple[Callable, Callable]
    #   start: (key, Sent, Client, Shard) -> Personal
    #   step:  (key, Personal, Sent, Shard) -> Personal
    predict: Callable[..., Tree]  # (Personal, batch) -> outputs
    steps: Callable[[np.ndarray], np.ndarray]  # train rows [client] -> optimizer steps [client]
    cost: Callable[[np.ndarray], np.ndarray]  # train rows [client] -> gradient evaluations [client]
