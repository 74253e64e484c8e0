"""One file per paper; each knows one client only."""

from pfljax.algorithms.afl import afl
from pfljax.algorithms.anil import anil
from pfljax.algorithms.apfl import apfl
from pfljax.algorithms.ditto import ditto
from pfljax.algorithms.fedala import fedala
from pfljax.algorithms.fedalt import fedalt
from pfljax.algorithms.fedavg import fedavg
from pfljax.algorithms.fedavg_finetune import fedavg_finetune
from pfljax.algorithms.fedbabu import fedbabu
from pfljax.algorithms.fedbn import fedbn
from pfljax.algorithms.feddyn import feddyn
from pfljax.algorithms.fedexp import fedexp
from pfljax.algorithms.fedfomo import fedfomo
from pfljax.algorithms.fednova import fednova
from pfljax.algorithms.fedopt import fedadagrad, fedadam, fedadam_corrected, fedavgm, fedyogi, fedyogi_corrected
from pfljax.algorithms.fedper import fedper
from pfljax.algorithms.fedproto import fedproto
from pfljax.algorithms.fedprox import fedprox
from pfljax.algorithms.fedrecon import fedrecon
from pfljax.algorithms.fedrep import fedrep
from pfljax.algorithms.fedrod import fedrod
from pfljax.algorithms.fedsim import fedsim
from pfljax.algorithms.ifca import ifca
from pfljax.algorithms.imaml import imaml
from pfljax.algorithms.knn_per import knn_per
from pfljax.algorithms.l2gd import l2gd
from pfljax.algorithms.lg_fedavg import lg_fedavg
from pfljax.algorithms.local_only import local_only
from pfljax.algorithms.lora import lora
from pfljax.algorithms.mapper import mapper
from pfljax.algorithms.meta_sgd import meta_sgd
from pfljax.algorithms.mime import mime, mimelite
from pfljax.algorithms.per_fedavg import per_fedavg
from pfljax.algorithms.pfedhn import pfedhn
from pfljax.algorithms.pfedme import pfedme
from pfljax.algorithms.qfedavg import qfedavg
from pfljax.algorithms.reptile import reptile
from pfljax.algorithms.scaffold import scaffold

__all__ = [
    "afl",
    "anil",
    "apfl",
    "ditto",
    "fedadagrad",
    "fedadam",
    "fedadam_corrected",
    "fedala",
    "fedalt",
    "fedavg",
    "fedavg_finetune",
    "fedavgm",
    "fedbabu",
    "fedbn",
    "feddyn",
    "fedexp",
    "fedfomo",
    "fednova",
    "fedper",
    "fedproto",
    "fedprox",
    "fedrecon",
    "fedrep",
    "fedrod",
    "fedsim",
    "fedyogi",
    "fedyogi_corrected",
    "ifca",
    "imaml",
    "knn_per",
    "l2gd",
    "lg_fedavg",
    "local_only",
    "lora",
    "mapper",
    "meta_sgd",
    "mime",
    "mimelite",
    "per_fedavg",
    "pfedhn",
    "pfedme",
    "qfedavg",
    "reptile",
    "scaffold",
]
