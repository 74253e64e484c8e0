"""How long a round would take on a target, from its data sheet: a floor, and never measured."""

from typing import NamedTuple

from pfljax.run.hlo import Collective, Round
from pfljax.run.targets import Target

HOP = 1e-6  # seconds from one device to the next: about what is known of TPUs, assumed of GPUs


class Prediction(NamedTuple):
    """Seconds of a round: operations at the peak, traffic at the full bandwidth, collectives on empty links.

    Arithmetic and traffic run side by side, collectives after them.
    """

    arithmetic: float
    traffic: float
    collectives: float

    @property
    def seconds(self) -> float:
        return max(self.arithmetic, self.traffic) + self.collectives


def predict(target: Target, operations: float, is_half: bool, round: Round) -> Prediction:
    """operations: floating-point, of the device that has the most to do; is_half: whether they are on bfloat16."""
    return Prediction(
        operations / target.chip.peak(is_half),
        round.traffic / target.chip.bandwidth,
        sum(collective_seconds(target, each) for each in round.collectives),
    )


def collective_seconds(target: Target, found: Collective) -> float:
    """How long collectives of one kind take in a round, on links that nothing else uses.

    Along each axis of a slice devices pass parts on to their neighbours, both ways where the ends meet, all axes at
    once with a part of the data each; between slices each device passes its own part on. An all-reduce is a
    reduce-scatter and an all-gather.
    """
    if target.num_devices == 1:
        return 0.0
    if found.kind in ("collective-permute", "collective-broadcast"):
        return found.num_bytes / target.chip.link + found.num * HOP
    here = target.num_devices // target.slices
    both_ways = sum(2 if is_ring else 1 for _, is_ring in target.rings) or 1
    hops = sum(size // 2 if is_ring else size - 1 for size, is_ring in target.rings)
    seconds = found.num_bytes * (here - 1) / here / (both_ways * target.chip.link) + found.num * hops * HOP
    if target.slices > 1:
        others = (target.slices - 1) / target.slices
        seconds += found.num_bytes / here * others / target.chip.network + found.num * (target.slices - 1) * HOP
    return seconds * (2 if found.kind == "all-reduce" else 1)
