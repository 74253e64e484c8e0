"""A curve: how one client's model does on its validation and test rows as it adapts, for every client."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pfljax import keys
from pfljax.data.population import Population
from pfljax.data.shard import Shard
from pfljax.engine.devices import on_host
from pfljax.engine.each import each_client
from pfljax.engine.place import Placed, max_count, rows_of
from pfljax.engine.result import Result
from pfljax.engine.shelf import Clients
from pfljax.engine.stream import Stream, examples_of
from pfljax.errors import PflError
from pfljax.types import Array, Metric, Personal, Tree

SPLITS = ("validation", "test")
MARKS = (0, 1, 2, 5, 10, 20, 50, 100)


@dataclass(frozen=True, eq=False)
class Curve:
    """Per-client figures after each of `marks` adaptation steps.

    NaN where a client has no rows that count; the bad end of the scale, infinite, where its outputs are not finite.

    values: {split: {metric: [mark, client]}}; better: {metric: "higher" | "lower"}; the first metric decides
    """

    name: str
    marks: tuple[int, ...]
    values: dict[str, dict[str, np.ndarray]]
    better: dict[str, str]

    @property
    def metric(self) -> str:
        return next(iter(self.better))

    def choose(self, among: np.ndarray) -> int:
        """The position in `marks` with the best mean validation figure over the clients in `among` [client] bool.

        One number for all: a choice per client on a handful of validation rows is mostly noise.
        Raises PflError if there is a choice and none of these clients has validation rows.
        """
        if len(self.marks) == 1:
            return 0
        figures = self.values["validation"][self.metric][:, among]
        figures = figures[:, ~np.isnan(figures).any(axis=0)]
        if not figures.shape[1]:
            raise PflError(
                f"{self.name}: expected validation rows to choose the number of steps by, got none; "
                "give the population a validation share, or a single mark"
            )
        means = figures.mean(axis=1)
        return int(np.argmax(means) if self.better[self.metric] == "higher" else np.argmin(means))

    def at(self, index: int, split: str = "test", metric: str | None = None) -> np.ndarray:
        """[client]: the figures at one mark."""
        return self.values[split][metric or self.metric][index]


class Probe(NamedTuple):
    """What the compiled evaluation depends on besides shapes."""

    send: Callable
    init_client: Callable
    personal: tuple[Callable, Callable]
    predict: Callable
    metrics: tuple[tuple[str, Metric], ...]
    max_count: int


class Lane(NamedTuple):
    """One client to evaluate. row: whose validation and test rows; teacher: whose train rows it adapts on."""

    row: Array
    teacher: Array
    clients: Clients


def curve(
    result: Result,
    population: Population,
    marks: tuple[int, ...] = MARKS,
    *,
    teachers: np.ndarray | None = None,
    name: str | None = None,
    examples: Placed | Stream | None = None,
) -> Curve:
    """Every client's figures after each number of adaptation steps in `marks`, seen or unseen.

    teachers: [client] rows whose train rows each client adapts on, from whose kept state (default: its own);
    another client's is the donor control, which tells learning from one's own data apart from learning more.
    examples: the population on the result's mesh, if it is there already (engine.stream.examples_of)

    Raises PflError if marks are not increasing from 0 on, or the population is not the result's.
    """
    if not marks or list(marks) != sorted(set(marks)) or marks[0] < 0:
        raise PflError(f"marks: expected increasing numbers of steps, at least 0, got {marks}")
    if population.ids != result.ids:
        raise PflError(
            f"population: expected the {len(result.ids)} clients that the result was made with, "
            f"got {population.num_clients} clients, other ones or in another order"
        )
    algorithm, mesh = result.algorithm, result.mesh
    spec = Probe(
        algorithm.send,
        algorithm.init_client,
        algorithm.personal,
        algorithm.predict,
        algorithm.model.metrics,
        max_count(population),
    )
    everyone = np.arange(population.num_clients, dtype=np.int32)
    teachers = everyone if teachers is None else np.asarray(teachers, np.int32)
    lanes = Lane(everyone, teachers, jax.tree.map(lambda leaf: leaf[teachers], on_host(result.clients)))
    steps = np.diff(np.asarray((0, *marks), np.int32))
    key = keys.use(keys.root(result.seeds.model), "evaluate")
    cost = marks[-1] * 64 + (population.sizes("validation") + population.sizes("test")) * len(marks)
    examples = examples_of(population, mesh, result.examples) if examples is None else examples
    rows = np.stack([everyone, teachers], axis=1)
    values = each_client(_probe, spec, (result.server, steps, key), lanes, rows, cost, examples, mesh, result.width)
    return Curve(
        name or algorithm.name,
        tuple(marks),
        jax.tree.map(lambda leaf: leaf.T, values),
        {metric: rule.better for metric, rule in algorithm.model.metrics},
    )


def _probe(spec: Probe, shared: Tree, lane: Lane, placed: Placed) -> dict:
    """{split: {metric: [mark]}} of one client."""
    server, steps, key = shared
    key = keys.at(key, lane.row)
    sent = spec.send(server, lane.row)
    fresh = spec.init_client(keys.use(key, "init"), sent)
    visited = lane.clients.visited
    mine = jax.tree.map(lambda new, kept: jnp.where(visited, kept, new), fresh, lane.clients.kept)
    train = rows_of(placed, "train", lane.teacher, spec.max_count)
    shard = Shard(lane.row, steps.sum(), train, rows_of(placed, "validation", lane.row, spec.max_count))
    start, step = spec.personal

    def to_next_mark(personal, num_steps):
        adapt = lambda _, personal: step(key, personal, sent, shard)
        personal = lax.fori_loop(jnp.int32(0), num_steps, adapt, personal)
        return personal, {split: _figures(spec, personal, placed, split, lane.row) for split in SPLITS}

    return lax.scan(to_next_mark, start(key, sent, mine, shard), steps)[1]


def _figures(spec: Probe, personal: Personal, placed: Placed, split: str, row: Array) -> dict[str, jax.Array]:
    rows = rows_of(placed, split, row, spec.max_count)

    def tile(_, batch):
        outputs = spec.predict(personal, batch)
        wide = lambda x: batch["mask"].reshape(-1, *[1] * (x.ndim - 1))
        gate = lambda x: jnp.where(wide(x), x, jnp.zeros_like(x)).sum(axis=0)
        floats = [x for x in jax.tree.leaves(outputs) if jnp.issubdtype(x.dtype, jnp.floating)]
        num_broken = sum((wide(x) & ~jnp.isfinite(x)).sum() for x in floats)
        return num_broken, {name: jax.tree.map(gate, metric.stat(outputs, batch)) for name, metric in spec.metrics}

    num_broken, sums = rows.reduce(tile)

    def figure(metric: Metric, sums: Tree) -> jax.Array:
        worst = -jnp.inf if metric.better == "higher" else jnp.inf
        # A model that diverged must not look absent (NaN), nor like one that always says class 0.
        value = jnp.where(num_broken > 0, worst, metric.finalize(sums))
        return jnp.where(rows.count > 0, value, jnp.nan)

    return {name: figure(metric, sums[name]) for name, metric in spec.metrics}
