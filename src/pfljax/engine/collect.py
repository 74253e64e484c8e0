"""What a block of rounds leaves on the host: figures per client, one record a round."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from pfljax.aggregate.reduction import LIMIT, Kind
from pfljax.data.population import Population
from pfljax.engine.result import Result
from pfljax.engine.snapshot import Snapshot
from pfljax.plan import Plan


@dataclass(frozen=True)
class Stopped:
    """Why a run stopped. client_ids: whose update was not finite; none if it was the server's step or the sum."""

    round: int
    client_ids: tuple[str, ...]
    reduction: Kind

    @property
    def message(self) -> str:
        ids = self.client_ids
        names = ", ".join(repr(name) for name in ids[:3]) + (" ..." if len(ids) > 3 else "")
        if ids:
            culprit = f"{len(ids)} client{'s' if len(ids) > 1 else ''} ({names})"
            remedy = "clip gradients, or set on_nonfinite to drop"
        else:
            culprit, remedy = "the server's own step", "or the server's"
            if self.reduction == "ordered":
                culprit += f", or a sum over clients beyond {LIMIT:.0f}"
                remedy += ", weight clients alike, or use reduction='fast'"
        return (
            f"round {self.round}: expected finite updates, got NaN or infinity from {culprit}; "
            f"lower the learning rate, {remedy}"
        )


@dataclass(frozen=True)
class Block:
    """Some consecutive rounds that have been executed.

    rows: [round, client] population rows of each round's cohort, rising; info: {name: [round, client]} in that order
    server_info: {name: [round]}; records: one dict a round, what goes into rounds.jsonl
    seconds: from dispatch to done; compile_seconds: before the first block, else 0
    wasted: the share of lane-steps spent waiting for a chunk's longest client
    width, why: clients side by side on one device, and why so many
    stopped: set if the run stopped, in this block or before
    """

    first_round: int
    num_rounds: int
    rows: np.ndarray
    info: dict[str, np.ndarray]
    server_info: dict[str, np.ndarray]
    records: tuple[dict, ...]
    seconds: float
    compile_seconds: float
    wasted: float
    width: int
    why: str
    stopped: Stopped | None
    _result: Callable[[], Result]
    _snapshot: Callable[[], Snapshot]

    def result(self) -> Result:
        """A copy of the state after this block. Ask before the next block runs: its buffers are reused then."""
        return self._result()

    def snapshot(self) -> Snapshot:
        """A copy of what the run goes on from after this block. Ask before the next block runs.

        Raises PflError in a sweep of several runs.
        """
        return self._snapshot()

    def first(self, num_rounds: int) -> "Block":
        """The block as if it had ended after so many rounds."""
        cut = lambda tree: {name: leaf[:num_rounds] for name, leaf in tree.items()}
        return replace(
            self,
            num_rounds=num_rounds,
            rows=self.rows[:num_rounds],
            info=cut(self.info),
            server_info=cut(self.server_info),
            records=self.records[:num_rounds],
        )


def figures(plan: Plan, info, server_info, run: int):
    """(rows [round, client], {name: [round, client]}, {name: [round]}) of one run, without padding, rows rising.

    Sorted, so that means over a cohort do not depend on who stood where.
    """
    num = plan.num_rounds
    flat = lambda leaf: leaf[:num].reshape(num, leaf[0].size)
    mask = flat(plan.mask) & (flat(plan.run) == run)
    cohort = mask[0].sum() if num else 0  # none of the rounds of a run that had been through before
    pick = lambda leaf: flat(leaf)[mask].reshape(num, cohort)
    rows = pick(plan.row)
    order = np.argsort(rows, axis=1)
    sort = lambda leaf: np.take_along_axis(pick(leaf), order, axis=1)
    infos = {name: sort(leaf) for name, leaf in info.items()}
    return sort(plan.row), infos, {name: leaf[:num, run] for name, leaf in server_info.items()}


def records(first_round: int, rows, infos, server_infos, population: Population, rate: float) -> list[dict]:
    """One dict a round: means over the clients whose update was finite, the server's figures, who was dropped."""
    finite = infos["finite"]
    count = finite.sum(axis=1)
    columns = {}
    for name, values in infos.items():
        if name != "finite":
            total = np.where(finite, values, 0).sum(axis=1, dtype=np.float64)
            columns[name] = (total / np.maximum(count, 1)).tolist()
    extra = {name: values.astype(float).tolist() for name, values in server_infos.items()}
    made = []
    for index, num in enumerate(count.tolist()):
        record = {"round": first_round + index, "clients": num}
        if num:
            record |= {name: column[index] for name, column in columns.items()}
        record |= {name: column[index] for name, column in extra.items()}
        dropped = [] if num == rows.shape[1] else [population.ids[row] for row in rows[index][~finite[index]]]
        made.append(record | {"dropped": dropped, "clients_per_second": rate})
    return made
