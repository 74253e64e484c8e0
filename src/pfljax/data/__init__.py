"""Where examples come from."""

from pfljax.data.embedded import characters, exercises, load
from pfljax.data.population import About, Population
from pfljax.data.synthetic import synthetic

__all__ = ["About", "Population", "characters", "exercises", "load", "synthetic"]
