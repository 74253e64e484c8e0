"""Where examples come from."""

from pfljax.data import generators, importers
from pfljax.data.audit import Audit, audit, require_clean
from pfljax.data.embedded import characters, exercises, load
from pfljax.data.population import About, Population
from pfljax.data.tfds import from_tfds

__all__ = [
    "About",
    "Audit",
    "Population",
    "audit",
    "characters",
    "exercises",
    "from_tfds",
    "generators",
    "importers",
    "load",
    "require_clean",
]
