"""FedRep on linear representations (Collins et al., ICML 2021, section 5 and Algorithm 2): dist^2(B, B*) over rounds.

    python benchmarks/reproductions/fedrep_linear.py [--rows 5 10 20] [--seeds 3] [--rounds 500] [--noise 0]
                                                     [--head-steps 50]

100 clients, y = x' B* w_i, x ~ N(0, I / m) in 20 dimensions, a representation of 2; m train rows a client. Each round
every client finds its head for the B it got, then B takes one gradient step of rate 0.1 on the sum over clients of
|y - X B w|^2 / 2 and is made orthonormal again. Here heads are found by many steps of descent; beside it, Algorithm 2
in numpy with heads by least squares, on the same rows from the same start.
"""

import argparse
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import pfljax as pfl
from pfljax.models import losses
from pfljax.types import Algorithm, Model, Vars

NUM_CLIENTS, DIM, WIDTH, RATE = 100, 20, 2, 0.1
HEAD_STEPS = 50
SHOWN = (0, 50, 100, 200, 500)


class Problem(NamedTuple):
    """x: [client, row, feature]; y: [client, row]; truth, start: [feature, hidden], orthonormal."""

    x: np.ndarray
    y: np.ndarray
    truth: np.ndarray
    start: np.ndarray

    @property
    def population(self) -> pfl.data.Population:
        clients = {f"c{i}": {"x": x, "y": y} for i, (x, y) in enumerate(zip(self.x, self.y, strict=True))}
        return pfl.data.Population.from_clients(clients, split=(1.0, 0.0, 0.0))


def problem(num_rows: int, noise: float, seed: int) -> Problem:
    """Truth, start, heads and rows from one stream."""
    stream = np.random.default_rng(seed)
    basis = lambda: np.linalg.qr(stream.normal(size=(DIM, WIDTH)))[0]
    truth, start = basis(), basis()
    made = pfl.data.generators.linear_representations(
        NUM_CLIENTS, DIM, WIDTH, (num_rows, 0, 0), noise, stream, basis=truth, dtype=np.float64
    )
    x, y = (made.population.arrays[name] for name in ("x", "y"))
    return Problem(x.reshape(NUM_CLIENTS, num_rows, DIM), y.reshape(NUM_CLIENTS, num_rows), truth, start)


def distance(found: np.ndarray, truth: np.ndarray) -> float:
    """dist^2: the squared sine of the largest angle between the two spaces (Definition 1)."""
    found = np.linalg.qr(found)[0]
    return float(np.linalg.norm(found - truth @ (truth.T @ found), 2) ** 2)


def exact(given: Problem, num_rounds: int, shown=SHOWN, rate: float = RATE) -> dict[int, float]:
    """{round: dist^2} of Algorithm 2, all clients in each round, heads by least squares."""
    b, curve = given.start, {}
    for round in range(num_rounds + 1):
        if round in shown:
            curve[round] = distance(b, given.truth)
        slope = np.zeros_like(b)
        for x, y in zip(given.x, given.y, strict=True):
            w = np.linalg.lstsq(x @ b, y, rcond=None)[0]
            slope += np.outer(x.T @ (x @ b @ w - y), w)
        b = np.linalg.qr(b - rate * slope)[0]
    return curve


def linear(start: np.ndarray) -> Model:
    """Outputs x @ body @ head; heads start at zero."""

    def init(key):
        return Vars({"body": {"kernel": jnp.asarray(start)}, "head": {"kernel": jnp.zeros(WIDTH)}})

    def apply(vars, batch, key, train):
        return batch["x"] @ vars.params["body"]["kernel"] @ vars.params["head"]["kernel"], vars.stats

    ones = lambda batch: jnp.ones(batch["mask"].shape)
    loss = losses.squared_error(ones)
    return Model(init, apply, loss, (("loss", losses.averaged(loss)),))


def orthonormal(algorithm: Algorithm) -> Algorithm:
    """The method with a body that is made orthonormal after each of the server's steps (Algorithm 2, line 9)."""
    ((client, step),) = algorithm.passes

    def server(key, server, aggregate):
        moved, info = step(key, server, aggregate)
        q, r = jnp.linalg.qr(moved.vars.params["body"]["kernel"])
        body = {"kernel": q * jnp.sign(jnp.diagonal(r))[None]}  # not turned over, so that kept heads go on fitting
        return moved._replace(vars=Vars(moved.vars.params | {"body": body}, moved.vars.stats)), info

    return algorithm._replace(passes=((client, server),))


def ours(given: Problem, num_rounds: int, shown=SHOWN, head_steps: int = HEAD_STEPS, seed: int = 0) -> dict[int, float]:
    """{round: dist^2} of pfl.algorithms.fedrep. A client's loss is a mean over its rows, and the server's step a mean
    over clients: rates are the paper's times their numbers. Needs float64.
    """
    num_clients, num_rows = given.y.shape
    algorithm = pfl.algorithms.fedrep(
        linear(given.start),
        optax.sgd(RATE * num_clients * num_rows),
        personal_opt=optax.sgd(0.5 * num_rows, momentum=0.9),
        head_passes=head_steps,
        steps=1,
        batch=num_rows,
        weighting="uniform",
    )
    curve, every = {0: distance(given.start, given.truth)}, int(np.gcd.reduce([n for n in shown if n]))
    arguments = {"cohort": num_clients, "unseen": 0.0, "seed": seed, "block": every}
    for block in pfl.rounds(orthonormal(algorithm), given.population, rounds=num_rounds, **arguments):
        done = block.first_round + block.num_rounds
        if done in shown:
            curve[done] = distance(np.asarray(block.result().vars.params["body"]["kernel"]), given.truth)
    return curve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[5, 10, 20])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--noise", type=float, default=0.0)
    parser.add_argument("--head-steps", type=int, default=HEAD_STEPS)
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    pfl.use_cores()

    shown = [n for n in SHOWN if n <= options.rounds]
    print("| rows a client | by | " + " | ".join(f"round {n}" for n in shown) + " |")
    print("|---" * (2 + len(shown)) + "|")
    for num_rows in options.rows:
        made = [problem(num_rows, options.noise, seed) for seed in range(options.seeds)]
        for name, curve in (("numpy, exact heads", exact), ("pfljax", partial(ours, head_steps=options.head_steps))):
            values = [curve(each, options.rounds, shown) for each in made]
            cells = [f"{min(v):.1e} to {max(v):.1e}" for n in shown if (v := [each[n] for each in values])]
            print(f"| {num_rows} | {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
