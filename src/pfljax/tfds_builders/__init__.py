"""The embedded populations as TFDS data sets: `import pfljax.tfds_builders`, then `tfds.builder("pfl_wearable")`.

One example per row with the population's own arrays, the client's id and, where there are groups, its group.
TFDS splits are the population's splits; the order is the population's too, client by client:

    pfl.data.from_tfds("pfl_wearable", split={s: s for s in ("train", "validation", "test")},
                       client_key="client", group_key="group")

reads back what was written, checksum included.
"""

from pfljax.tfds_builders.pfl_digits import pfl_digits_dataset_builder as pfl_digits
from pfljax.tfds_builders.pfl_insurance import pfl_insurance_dataset_builder as pfl_insurance
from pfljax.tfds_builders.pfl_keyboard import pfl_keyboard_dataset_builder as pfl_keyboard
from pfljax.tfds_builders.pfl_lending import pfl_lending_dataset_builder as pfl_lending
from pfljax.tfds_builders.pfl_plays import pfl_plays_dataset_builder as pfl_plays
from pfljax.tfds_builders.pfl_purchases import pfl_purchases_dataset_builder as pfl_purchases
from pfljax.tfds_builders.pfl_wearable import pfl_wearable_dataset_builder as pfl_wearable

__all__ = ["pfl_digits", "pfl_insurance", "pfl_keyboard", "pfl_lending", "pfl_plays", "pfl_purchases", "pfl_wearable"]
