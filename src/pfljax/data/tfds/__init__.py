"""Data sets that TFDS has prepared, read without TensorFlow."""

from pfljax.data.tfds.population import from_tfds

__all__ = ["from_tfds"]
