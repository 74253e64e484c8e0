"""What happens to one client's upload before it is summed."""

from pfljax.upload.transforms import Transform, chain, clip

__all__ = ["Transform", "chain", "clip"]
