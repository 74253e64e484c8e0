"""Packages that only some parts need."""

import importlib
from types import ModuleType

from pfljax.errors import PflError


def need(module: str, extra: str) -> ModuleType:
    """The module `module`, which comes with pfljax[extra]. Raises PflError, naming the extra, where it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise PflError(
            f"{module}: expected it to be installed, got {type(error).__name__} ({error}); pip install pfljax[{extra}]"
        ) from error
