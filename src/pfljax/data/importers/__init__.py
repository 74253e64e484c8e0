"""Populations from what lies on disk or in memory already: files, folders, tables, lists."""

from pfljax.data.importers.fedscale import DeviceTraces, fedscale_devices
from pfljax.data.importers.folder import folder
from pfljax.data.importers.lists import lists
from pfljax.data.importers.table import classes, table

__all__ = ["DeviceTraces", "classes", "fedscale_devices", "folder", "lists", "table"]
