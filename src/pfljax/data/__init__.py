"""Where examples come from."""

from pfljax.data.embedded import characters, exercises, load
from pfljax.data.population import About, Population
from pfljax.data.synthetic import synthetic
from pfljax.data.tfds import from_tfds

__all__ = ["About", "Population", "characters", "exercises", "from_tfds", "load", "synthetic"]
