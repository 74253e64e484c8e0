"""What the data rooms cost: seconds and peak memory of one axis a process.

    python benchmarks/data.py dirichlet    1,000,000 examples of 62 classes dealt to 10,000 clients; at most 3 s
    python benchmarks/data.py emnist       671,585 images of 3,400 clients from array_record files; at most 90 s, from
                                           the cache 2 s, peak memory 1.5 times the images

An axis is one function that returns the figures it measured; its argument is its name.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tfds_files import write_emnist


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


def emnist(num_rows: int = 671_585, num_clients: int = 3_400) -> dict[str, float]:
    """`from_tfds` of EMNIST-62's shape, cold and from its cache, in a process each; preparing is not counted."""
    code = (
        "import json, resource, sys, time; import pfljax as pfl; begin = time.perf_counter(); "
        "people = pfl.data.from_tfds(sys.argv[1], client_key='writer', arrays={'x': 'image', 'y': 'label'}); "
        "seconds = time.perf_counter() - begin; peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024; "
        "print(json.dumps([seconds, peak / people.arrays['x'].nbytes, people.num_rows, people.num_clients]))"
    )
    figures = {}
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where) / "emnist_like" / "1.0.0"
        begin = time.perf_counter()
        write_emnist(folder, num_rows, num_clients)
        figures["seconds to prepare"] = time.perf_counter() - begin
        for name in ("cold", "cached"):
            done = subprocess.run(
                [sys.executable, "-c", code, str(folder)],
                env=os.environ | {"XDG_CACHE_HOME": where},
                stdout=subprocess.PIPE,
                check=True,
            )
            seconds, ratio, *shape = json.loads(done.stdout)
            assert shape == [num_rows, num_clients]
            figures |= {f"seconds {name}": seconds, f"peak {name}, over the images": ratio}
    return figures


AXES: dict[str, Callable[[], dict[str, float]]] = {"dirichlet": dirichlet, "emnist": emnist}


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
