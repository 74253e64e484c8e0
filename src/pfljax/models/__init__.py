"""Models as pure functions, losses and metrics per example, adapters for flax."""

from pfljax.models import losses
from pfljax.models.adapters import from_linen, from_nnx
from pfljax.models.char_lm import char_lm
from pfljax.models.mlp import mlp

__all__ = ["char_lm", "from_linen", "from_nnx", "losses", "mlp"]
