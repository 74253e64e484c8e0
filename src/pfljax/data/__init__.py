"""Where examples come from."""

from pfljax.data.population import About, Population

__all__ = ["About", "Population"]
