"""The performance gate: counters of pinned workloads against benchmarks/budgets/gate.json.

    python benchmarks/gate.py check|update [--only NAME] [--json FILE] [--timed [--at-most TIMES]]

See docs/performance_gate.md. The workloads are small: what is pinned is what rounds make devices do, not how fast.
"""

import sys
from pathlib import Path

import numpy as np
import optax

import pfljax as pfl
from pfljax import algorithms, gate

BUDGETS = Path(__file__).parent / "budgets" / "gate.json"
NUM_CLIENTS, SIDE, NUM_CLASSES = 40, 8, 10


def people(is_ragged: bool) -> pfl.data.Population:
    """Clients of 40 train rows, or of 4 to 196; random images and labels, for only shapes are counted."""
    generator = np.random.default_rng(0)
    sizes = [4 + 37 * index % 200 if is_ragged else 40 for index in range(NUM_CLIENTS)]
    clients = {
        f"c{index}": {
            "x": generator.integers(0, 256, (size, SIDE, SIDE), dtype=np.uint8),
            "y": generator.integers(0, NUM_CLASSES, size, dtype=np.int32),
        }
        for index, size in enumerate(sizes)
    }
    about = pfl.data.About(name="pinned", num_classes=NUM_CLASSES)
    return pfl.data.Population.from_clients(clients, split=(1.0, 0.0, 0.0), seed=None, about=about)


def workloads() -> dict[str, gate.Workload]:
    """One for each way in which rounds differ: model, ragged clients, width, kept state, second order, reduction."""
    even, ragged = people(is_ragged=False), people(is_ragged=True)
    lr, mlp = pfl.models.mlp(even, ()), pfl.models.mlp(even, (32, 32))
    cnn = pfl.models.cnn(even, channels=(4, 8), hidden=16)
    work = {"client_opt": optax.sgd(0.1), "epochs": 1, "batch": 10}
    pinned = {"cohort": 12, "devices": 2, "examples": "resident"}
    return {
        "lr_width4": gate.workload(algorithms.fedavg(lr, **work), even, width=4, **pinned),
        "mlp": gate.workload(algorithms.fedavg(mlp, **work), even, width=1, **pinned),
        "mlp_ragged": gate.workload(algorithms.fedavg(mlp, **work), ragged, width=1, **pinned),
        "mlp_ragged_width4": gate.workload(algorithms.fedavg(mlp, **work), ragged, width=4, **pinned),
        "ditto_ragged": gate.workload(algorithms.ditto(mlp, **work), ragged, width=1, **pinned),
        "per_fedavg_exact": gate.workload(algorithms.per_fedavg(mlp, inner_steps=2, **work), even, width=1, **pinned),
        "cnn": gate.workload(algorithms.fedavg(cnn, **work), even, width=1, **pinned),
        "mlp_ordered": gate.workload(algorithms.fedavg(mlp, **work), even, width=1, reduction="ordered", **pinned),
    }


if __name__ == "__main__":
    pfl.use_cores(2)
    sys.exit(gate.main(workloads(), sys.argv[1:], BUDGETS))
