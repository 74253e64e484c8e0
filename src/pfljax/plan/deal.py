"""Which device trains whom, and in which chunk."""

import heapq

import numpy as np


def deal(cost: np.ndarray, num_devices: int, width: int, capacity: int) -> list[list[np.ndarray]]:
    """Positions of a cohort as device -> chunks -> up to `width` positions, so that devices finish together.

    cost: [cohort] int, what each client takes. Chunks are cut from the cohort in falling order of cost, for a
    chunk takes as long as its longest member, and go to the least loaded device that has room (longest
    processing time first, Graham 1969). No device gets more than `capacity` chunks.
    """
    order = np.argsort(-cost, kind="stable")
    chunks = [order[begin : begin + width] for begin in range(0, len(order), width)]
    devices: list[list[np.ndarray]] = [[] for _ in range(num_devices)]
    loads = [(0, 0, device) for device in range(num_devices)]
    for chunk in chunks:
        load, num_chunks, device = heapq.heappop(loads)
        devices[device].append(chunk)
        if len(devices[device]) < capacity:
            heapq.heappush(loads, (load + int(cost[chunk].max()), num_chunks + 1, device))
    return devices


def capacity(cohort: int, num_devices: int, width: int) -> int:
    """Chunks that one device has room for: twice its share, so that long clients can be balanced by short ones."""
    num_chunks = -(-cohort // width)
    return min(num_chunks, 2 * -(-num_chunks // num_devices))
