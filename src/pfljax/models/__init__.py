"""Models as pure functions, losses and metrics per example, layers that vectorize well, adapters for flax."""

from pfljax.models import layers, losses
from pfljax.models.adapters import from_linen, from_nnx
from pfljax.models.attention_lm import attention_lm
from pfljax.models.char_lm import char_lm
from pfljax.models.cnn import cnn
from pfljax.models.mlp import mlp
from pfljax.models.precision import bfloat16
from pfljax.models.regressor import regressor

__all__ = [
    "attention_lm",
    "bfloat16",
    "char_lm",
    "cnn",
    "from_linen",
    "from_nnx",
    "layers",
    "losses",
    "mlp",
    "regressor",
]
