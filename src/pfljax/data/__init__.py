"""Where examples come from."""

from pfljax.data import generators, importers, partition
from pfljax.data.audit import Audit, audit, require_clean
from pfljax.data.describe import Description, describe
from pfljax.data.embedded import characters, exercises, load
from pfljax.data.population import About, Population
from pfljax.data.tfds import from_tfds

__all__ = [
    "About",
    "Audit",
    "Description",
    "Population",
    "audit",
    "characters",
    "describe",
    "exercises",
    "from_tfds",
    "generators",
    "importers",
    "load",
    "partition",
    "require_clean",
]
