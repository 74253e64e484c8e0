"""Validation figures while a run trains: what the best round is chosen by."""

import numpy as np

from pfljax.data.population import Population
from pfljax.engine.collect import Block
from pfljax.engine.place import Placed
from pfljax.engine.stream import Stream, examples_of
from pfljax.errors import PflError, whole
from pfljax.evaluate import curve, shared


class Validation:
    """Looks at the shared model on seen clients' validation rows after every so many rounds. Test rows are not used.

    every: rounds, or None for never. Raises PflError for anything else, and if no client has validation rows.
    """

    def __init__(self, population: Population, every: int | None, what: str = "eval_every"):
        if every is not None:
            whole(what, every)
            if not population.sizes("validation").any():
                raise PflError(f"{what}: expected validation rows to look at, got none; give the population a share")
        self._population, self._every = population, every
        self._examples: Placed | Stream | None = None

    def figures(self, block: Block) -> dict[str, float]:
        """`validation_<metric>` after a block, each the mean over clients; nothing where they are not due."""
        done = block.first_round + block.num_rounds
        if self._every is None or not block.num_rounds or done % self._every:
            return {}
        result = block.result()
        self._examples = self._examples or examples_of(self._population, result.mesh, result.examples)
        found = curve(shared(result), self._population, (0,), examples=self._examples).values["validation"]
        return {f"validation_{name}": float(np.nanmean(values[0, result.seen])) for name, values in found.items()}
