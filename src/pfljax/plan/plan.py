"""`Plan`: who trains when, for how many steps, on which device and in which chunk. Integers only."""

from dataclasses import dataclass

import numpy as np

from pfljax import keys
from pfljax.errors import PflError
from pfljax.plan.deal import capacity, deal


@dataclass(frozen=True)
class Plan:
    """A block of rounds, padded to a fixed number of rounds so that every block has one shape.

    first_round: the number of the block's first round; num_rounds: how many are to be executed
    row, steps:  [round, device, chunk, lane] int32; population row, optimizer steps
    mask:        [round, device, chunk, lane] bool, False where no client stands
    num_chunks:  [round, device] int32
    """

    first_round: int
    num_rounds: int
    row: np.ndarray
    steps: np.ndarray
    mask: np.ndarray
    num_chunks: np.ndarray

    def wasted(self) -> float:
        """The share of lane-steps that wait for their chunk's longest member: 0 at width 1."""
        steps = self.steps[: self.num_rounds]
        paid = steps.max(axis=-1).sum() * steps.shape[-1]
        return 1 - float(steps.sum() / paid) if paid else 0.0


@dataclass(frozen=True)
class Planner:
    """Makes plans from the seed alone: a round's cohort does not depend on blocks, devices or widths.

    candidates: [seen client] rows that can be sampled; steps, cost: [client] of the whole population
    """

    candidates: np.ndarray
    steps: np.ndarray
    cost: np.ndarray
    cohort: int
    num_devices: int
    width: int
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

    def block(self, first_round: int, num_rounds: int, max_rounds: int) -> Plan:
        """The plan of `num_rounds` rounds, in arrays for `max_rounds`."""
        room = capacity(self.cohort, self.num_devices, self.width)
        shape = (max_rounds, self.num_devices, room, self.width)
        row, steps = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
        mask, num_chunks = np.zeros(shape, bool), np.zeros(shape[:2], np.int32)
        for index in range(num_rounds):
            rows = self.sample(first_round + index)
            for device, chunks in enumerate(deal(self.cost[rows], self.num_devices, self.width, room)):
                num_chunks[index, device] = len(chunks)
                for place, chunk in enumerate(chunks):
                    lanes = np.s_[index, device, place, : len(chunk)]
                    row[lanes], steps[lanes], mask[lanes] = rows[chunk], self.steps[rows[chunk]], True
        return Plan(first_round, num_rounds, row, steps, mask, num_chunks)
