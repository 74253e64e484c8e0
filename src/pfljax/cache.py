"""Where pfljax keeps what it can make again: compiled programs, measured widths."""

import os
from pathlib import Path


def folder() -> Path:
    """The user's cache folder for pfljax; it need not exist yet."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "pfljax"
