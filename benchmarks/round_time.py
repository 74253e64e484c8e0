"""Clients per second of FedAvg on an MLP 784-200-200-62: 100 uint8 images a client, batch 20, 5 steps, SGD 0.1.

    python benchmarks/round_time.py [--cohort 128] [--rounds 60] [--repeats 5] [--devices N]

Prints compile time apart, then the median and spread over repeats, each after `block_until_ready`.
"""

import argparse
import os
import platform
import statistics

import jax
import numpy as np
import optax

import pfljax as pfl


def population(num_clients: int, seed: int = 0, shape: tuple[int, ...] = (784,)) -> pfl.data.Population:
    """Random images and labels: the arithmetic is that of real ones."""
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (num_clients, 125, *shape), dtype=np.uint8)
    labels = generator.integers(0, 62, (num_clients, 125), dtype=np.int32)
    clients = {f"c{index}": {"x": images[index], "y": labels[index]} for index in range(num_clients)}
    about = pfl.data.About(name="images", num_classes=62)
    return pfl.data.Population.from_clients(clients, split=(0.8, 0.1, 0.1), seed=None, about=about)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohort", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--devices", type=int, default=None)
    options = parser.parse_args()
    pfl.use_cores(options.devices)

    people = population(1000)
    model = pfl.models.mlp(people, (200, 200))
    algorithm = pfl.algorithms.fedavg(model, optax.sgd(0.1), epochs=1, batch=20)
    rates, compile_seconds = [], 0.0
    for repeat in range(options.repeats):
        arguments = {"cohort": options.cohort, "rounds": options.rounds, "seed": repeat, "block": 10}
        blocks = list(pfl.rounds(algorithm, people, **arguments))
        compile_seconds = max(compile_seconds, blocks[0].compile_seconds)
        timed = blocks[1:] or blocks
        rates.append(sum(b.rows.size for b in timed) / sum(b.seconds for b in timed))

    device = jax.devices()[0].platform
    print(f"jax {jax.__version__}, Python {platform.python_version()}, {platform.machine()}")
    print(f"{len(jax.devices())} {device} devices on {os.cpu_count()} cores")
    print(f"compile {compile_seconds:.1f} s; {options.repeats} runs of {options.rounds} rounds of {options.cohort}")
    low, high = min(rates), max(rates)
    median = statistics.median(rates)
    print(f"{median:.0f} clients/s (median; {low:.0f} to {high:.0f}), {5 * median:.0f} steps/s")


if __name__ == "__main__":
    main()
