"""What the data rooms cost: seconds and peak memory of one axis a process.

    python benchmarks/data.py dirichlet    1,000,000 examples of 62 classes dealt to 10,000 clients; at most 3 s
    python benchmarks/data.py emnist       671,585 images of 3,400 clients from array_record files; at most 90 s, from
                                           the cache 2 s, peak memory 1.5 times the images
    python benchmarks/data.py stackoverflow   342,477 clients, 136,000,000 memory-mapped rows of 20 int16: opened in at
                                           most 1 s, a cohort of 200 gathered in 50 ms

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


def stackoverflow(num_rows: int = 136_000_000, num_clients: int = 342_477, cohort: int = 200) -> dict[str, float]:
    """What `tff_stack_overflow` left on disk, opened again, and cohorts as the engine gathers them.

    The files are sparse, so their pages come as zeros from the page cache and no disk is measured.
    """
    import jax
    from numpy.lib.format import open_memmap

    from pfljax.data import split
    from pfljax.data.importers.stack_overflow import reopen, write_clients
    from pfljax.engine.devices import make_mesh
    from pfljax.engine.stream import Stream

    draw = np.random.default_rng(0)
    weights = draw.lognormal(sigma=1.5, size=num_clients)
    edges = 2 * np.arange(num_clients + 1)  # everybody has two rows at least
    edges[1:] += np.rint(np.cumsum(weights) / weights.sum() * (num_rows - edges[-1])).astype(np.int64)
    sizes, ids = np.diff(edges), tuple(f"{client:08d}" for client in range(num_clients))
    figures = {"largest client": int(sizes.max()), "median client": float(np.median(sizes))}
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where)
        open_memmap(folder / "tokens.npy", mode="w+", dtype=np.int16, shape=(num_rows, 21))
        write_clients(folder, ids, edges, split.bounds(ids, sizes, np.array([0.6, 0.2, 0.2])), 10_000)
        begin = time.perf_counter()
        people = reopen(folder, "made here")
        figures["seconds to open"] = time.perf_counter() - begin
        assert (people.num_rows, people.num_clients) == (num_rows, num_clients)
        stream = Stream.of(people, make_mesh(1))
        seconds, processor, rows = [], [], []
        for _ in range(20):
            clients = [draw.choice(num_clients, cohort, replace=False)]
            rows.append(stream.num_rows(clients))
            begin, used = time.perf_counter(), time.process_time()
            jax.block_until_ready(stream.gather(clients, rows[-1]))
            seconds.append(time.perf_counter() - begin)
            processor.append(time.process_time() - used)
    return figures | {
        "rows of a cohort, median": float(np.median(rows)),
        "seconds to gather, median": float(np.median(seconds)),
        "seconds to gather, longest": max(seconds),
        "processor seconds to gather, median": float(np.median(processor)),
    }


AXES: dict[str, Callable[[], dict[str, float]]] = {
    "dirichlet": dirichlet,
    "emnist": emnist,
    "stackoverflow": stackoverflow,
}


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
