"""`Plan`: who trains when, for how many steps, on which device and in which chunk. Integers only."""

from dataclasses import dataclass

import numpy as np

from pfljax import keys
from pfljax.errors import PflError
from pfljax.plan.deal import at_home, capacity, deal


@dataclass(frozen=True)
class Plan:
    """A block of rounds, padded to a fixed number of rounds so that every block has one shape.

    first_round: the number of the block's first round; num_rounds: how many are to be executed
    row, run, steps: [round, device, chunk, lane] int32; population row, run of a sweep, optimizer steps
    mask:            [round, device, chunk, lane] bool, False where no client stands
    num_chunks:      [round, device] int32
    """

    first_round: int
    num_rounds: int
    row: np.ndarray
    run: np.ndarray
    steps: np.ndarray
    mask: np.ndarray
    num_chunks: np.ndarray

    def wasted(self) -> float:
        """The share of lane-steps that wait for their chunk's longest member: 0 at width 1."""
        steps = self.steps[: self.num_rounds]
        paid = steps.max(axis=-1).sum() * steps.shape[-1]
        return 1 - float(steps.sum() / paid) if paid else 0.0


@dataclass(frozen=True)
class Sampler:
    """Who takes part, from the seed alone: a round's cohort does not depend on blocks, devices or widths.

    candidates: [seen client] rows that can be sampled
    """

    candidates: np.ndarray
    cohort: int
    seed: int

    def __post_init__(self):
        if not 1 <= self.cohort <= len(self.candidates):
            raise PflError(
                f"cohort: expected between 1 and the {len(self.candidates)} seen clients, got {self.cohort}; "
                "lower it, or hold out fewer clients"
            )

    def sample(self, round: int) -> np.ndarray:
        """[cohort] int: the rows that train in one round, without replacement, uniformly."""
        return keys.host(self.seed, "sample", round).choice(self.candidates, self.cohort, replace=False)


@dataclass(frozen=True)
class Planner:
    """Makes plans. samplers: one for each run of a sweep; steps, cost: [client] of the whole population;
    num_kept: rows of client state that each device keeps, one run's clients after another's; 0 where there is none
    """

    samplers: tuple[Sampler, ...]
    steps: np.ndarray
    cost: np.ndarray
    num_devices: int
    width: int
    num_kept: int = 0

    @property
    def num_lanes(self) -> int:
        """Clients that train in one round, over all runs."""
        return sum(sampler.cohort for sampler in self.samplers)

    def block(self, first_round: int, num_rounds: int, max_rounds: int) -> Plan:
        """The plan of `num_rounds` rounds, in arrays for `max_rounds`."""
        room = capacity(self.num_lanes, self.num_devices, self.width)
        shape = (max_rounds, self.num_devices, room, self.width)
        row, run, steps = (np.zeros(shape, np.int32) for _ in range(3))
        mask, num_chunks = np.zeros(shape, bool), np.zeros(shape[:2], np.int32)
        run_of = np.repeat(np.arange(len(self.samplers)), [sampler.cohort for sampler in self.samplers])
        for index in range(num_rounds):
            rows = np.concatenate([sampler.sample(first_round + index) for sampler in self.samplers])
            dealt = deal(self.cost[rows], self.num_devices, self.width, room)
            if self.num_kept and self.num_devices > 1:
                home = (run_of * len(self.cost) + rows) // self.num_kept
                dealt = at_home(dealt, self.cost[rows], home, self.num_devices)
            order, device, chunk, lane = dealt
            at = (index, device, chunk, lane)
            row[at], run[at], steps[at], mask[at] = rows[order], run_of[order], self.steps[rows[order]], True
            num_chunks[index] = np.bincount(device[lane == 0], minlength=self.num_devices)
        return Plan(first_round, num_rounds, row, run, steps, mask, num_chunks)
