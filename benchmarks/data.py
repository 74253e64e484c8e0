"""What the data rooms cost: seconds and peak memory of one axis a process.

    python benchmarks/data.py dirichlet    1,000,000 examples of 62 classes dealt to 10,000 clients; at most 3 s

An axis is one function that returns the figures it measured; its argument is its name.
"""

import argparse
import json
import resource
import time
from collections.abc import Callable

import numpy as np


def dirichlet(num_rows: int = 1_000_000, num_classes: int = 62, num_clients: int = 10_000) -> dict[str, float]:
    """Seconds of `partition.dirichlet` by alpha; making the labels and importing are not counted."""
    from pfljax.data import partition

    labels = np.random.default_rng(0).integers(0, num_classes, num_rows)
    figures = {}
    for alpha in (1e-8, 0.1, 1.0, 1e8):
        begin = time.perf_counter()
        partition.dirichlet(labels, num_clients, alpha)
        figures[f"seconds at alpha {alpha:g}"] = time.perf_counter() - begin
    return figures


AXES: dict[str, Callable[[], dict[str, float]]] = {"dirichlet": dirichlet}


def peak() -> float:
    """GB this process has held at most, imports included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("axis", choices=AXES)
    axis = parser.parse_args().axis
    print(json.dumps({"axis": axis} | AXES[axis]() | {"peak GB": round(peak(), 3)}, indent=2))


if __name__ == "__main__":
    main()
