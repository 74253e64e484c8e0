"""IFCA on a mixture of linear regressions (Ghosh et al., NeurIPS 2020, section 6.1): how often are clusters recovered?

    python benchmarks/reproductions/ifca_linear.py [--sigma 0.1] [--scale 0.2 0.5 1.0] [--seeds 3] [--shrink 1]

100 clients of 100 rows in 1,000 dimensions, half of them in each of 2 clusters: y = x' theta_j + sigma e, x and e
standard normal, theta_j a vector of fair coins times the scale r. Clusters start from fair coins times 1; 300 rounds,
all clients, one full-batch step each. A data seed is a success if the best of 10 starts ends with its clusters, matched
to the true ones, at a mean distance below 0.6 sigma + 0.001. `--shrink 5` is the same shape with a fifth of the rows
and dimensions, in seconds.
"""

import argparse
from itertools import permutations
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import pfljax as pfl
from pfljax.models import losses
from pfljax.types import Model, Vars

NUM_CLIENTS, NUM_ROWS, DIM, NUM_CLUSTERS = 100, 100, 1000, 2
STARTS, ROUNDS, RATE = 10, 300, 0.1


class Mixture(NamedTuple):
    """clients: rows of x: [feature] and y; truth: [cluster, feature]. Client i is of cluster i modulo their number."""

    clients: pfl.data.Population
    truth: np.ndarray


def mixture(sigma: float, scale: float, seed: int, shrink: int = 1) -> Mixture:
    stream, rows = np.random.default_rng(seed), (NUM_ROWS // shrink, 0, 0)
    made = pfl.data.generators.mixed_regressions(
        NUM_CLIENTS, NUM_CLUSTERS, DIM // shrink, rows, noise=sigma, scale=scale, seed=stream
    )
    return Mixture(made.population, made.truth["weights"])


def linear(dim: int) -> Model:
    """x' theta, theta of fair coins; half the mean squared error."""

    def apply(vars, batch, key, train):
        return batch["x"] @ vars.params["theta"], vars.stats

    init = lambda key: Vars({"theta": jax.random.bernoulli(key, 0.5, (dim,)).astype(jnp.float32)})
    loss = losses.squared_error()
    return Model(init, apply, loss, (("loss", losses.averaged(loss)),))


def distance(found: np.ndarray, truth: np.ndarray) -> float:
    """The mean distance of the clusters from the true ones, under the best matching."""
    gaps = np.linalg.norm(found[:, None] - truth[None], axis=2)
    every = range(len(truth))
    return float(min(gaps[every, order].mean() for order in permutations(every)))


def distances(given: Mixture, num_rounds: int = ROUNDS, num_starts: int = STARTS) -> np.ndarray:
    """[start]: how far each of the starts ends, all of them in one program."""
    num_rows = int(given.clients.sizes("train")[0])
    algorithm = pfl.algorithms.ifca(
        linear(given.truth.shape[1]), optax.sgd(RATE), clusters=NUM_CLUSTERS, steps=1, batch=num_rows
    )
    seeds = [pfl.Seeds(model=start) for start in range(num_starts)]
    how = {"cohort": NUM_CLIENTS, "unseen": 0.0, "rounds": num_rounds}
    results = pfl.simulate(algorithm, given.clients, seeds=seeds, **how)
    return np.array([distance(np.asarray(each.server.extra.params["theta"]), given.truth) for each in results])


def is_success(found: np.ndarray, sigma: float) -> bool:
    return bool(found.min() < 0.6 * sigma + 0.001)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sigma", type=float, default=0.1)
    parser.add_argument("--scale", type=float, nargs="+", default=[0.2, 0.5, 1.0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--shrink", type=int, default=1)
    options = parser.parse_args()
    pfl.use_cores()
    print("| sigma | r | paper | ours: data seeds recovered | starts recovered | best distance, by data seed |")
    print("|---|---|---|---|---|---|")
    for scale in options.scale:
        found = [distances(mixture(options.sigma, scale, seed, options.shrink)) for seed in range(options.seeds)]
        num_good = sum(is_success(each, options.sigma) for each in found)
        starts = sum(is_success(start, options.sigma) for start in np.concatenate(found))
        best = ", ".join(f"{each.min():.4f}" for each in found)
        cells = (options.sigma, scale, "figure only", f"{num_good} of {len(found)}")
        print(f"| {' | '.join(map(str, cells))} | {starts} of {len(found) * STARTS} | {best} |", flush=True)


if __name__ == "__main__":
    main()
