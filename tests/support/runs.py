"""Short runs on small populations, and what they leave as one row of numbers."""

import jax
import numpy as np
import optax

import pfljax as pfl
from pfljax import keys
from pfljax.engine.result import Result
from pfljax.types import Algorithm, Tree, Vars

SEED = 2
# A server's optimizer that moves whatever it is given, gradient or none.
STRONG = optax.chain(optax.add_decayed_weights(0.1), optax.scale_by_rms(), optax.sgd(0.05, momentum=0.9))


def run(algorithm: Algorithm, population: pfl.data.Population, **change) -> Result:
    """Three rounds of four clients on two devices, where nothing else is asked for.

    Sums are ordered, for a plan has clients train where their state is kept, and so deals methods that keep some
    otherwise than methods that keep none: of fast sums the last bits would differ.
    """
    usual = {"cohort": 4, "rounds": 3, "seed": SEED, "devices": 2, "reduction": "ordered"}
    return pfl.simulate(algorithm, population, **usual | change)


def start(algorithm: Algorithm) -> Vars:
    """The server's model before the first round of `run`."""
    return jax.jit(algorithm.model.init)(keys.use(keys.root(SEED), "params"))


def bits(tree: Tree) -> np.ndarray:
    """[number]: the leaves of a tree, one after another."""
    return np.concatenate([np.ravel(np.asarray(leaf)) for leaf in jax.tree.leaves(tree)])
