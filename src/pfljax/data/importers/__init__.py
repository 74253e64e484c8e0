"""Populations from what lies on disk or in memory already: files, folders, tables, lists."""

from pfljax.data.importers.fedjax import fedjax
from pfljax.data.importers.fedscale import DeviceTraces, fedscale_devices
from pfljax.data.importers.folder import folder
from pfljax.data.importers.leaf import leaf
from pfljax.data.importers.lists import lists
from pfljax.data.importers.stack_overflow import stack_overflow_words, tff_stack_overflow
from pfljax.data.importers.table import classes, table
from pfljax.data.importers.tff_hdf5 import tff_emnist, tff_shakespeare
from pfljax.data.importers.values import CHARACTERS, ink

__all__ = [
    "CHARACTERS",
    "DeviceTraces",
    "classes",
    "fedjax",
    "fedscale_devices",
    "folder",
    "ink",
    "leaf",
    "lists",
    "stack_overflow_words",
    "table",
    "tff_emnist",
    "tff_shakespeare",
    "tff_stack_overflow",
]
