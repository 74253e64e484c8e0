"""Who owns which rows of a flat data set (partitioners), and clients whose data differ otherwise (shifts)."""

from pfljax.data.partition.basis import fingerprint
from pfljax.data.partition.columns import by_column, temporal
from pfljax.data.partition.labels import classes, dirichlet, shards
from pfljax.data.partition.latent import mixtures, pachinko
from pfljax.data.partition.record import Partition
from pfljax.data.partition.shift import clusters, noise, rotate, swap_labels
from pfljax.data.partition.sizes import iid, lognormal_sizes, zipf_sizes

__all__ = [
    "Partition",
    "by_column",
    "classes",
    "clusters",
    "dirichlet",
    "fingerprint",
    "iid",
    "lognormal_sizes",
    "mixtures",
    "noise",
    "pachinko",
    "rotate",
    "shards",
    "swap_labels",
    "temporal",
    "zipf_sizes",
]
