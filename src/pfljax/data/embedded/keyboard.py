"""`keyboard`: the next character of translated messages; a client is one (language, app) such as "de/admin".

keyboard.npz, in the order of the catalogues:
  tokens [character] uint8, string_characters [string], entry_strings [entry], client_entries [client],
  ids [client], characters [254] code points of the symbols 2..255
"""

import hashlib
from typing import Literal

import numpy as np

from pfljax.data.embedded.files import about, choice, read
from pfljax.data.embedded.runs import edges, ranges
from pfljax.data.embedded.text import cut, next_symbols
from pfljax.data.population import Population
from pfljax.errors import PflError, whole

FEWEST_CHARACTERS = 100


def load(
    order: Literal["entries", "catalogue"] = "entries",
    context: int = 6,
    min_characters: int = 200,
    hold_out: Literal["client", "language"] = "client",
) -> Population:
    """x: [example, context] uint8, the symbols before y: [example] uint8; a string ends by predicting BOUNDARY.

    Contexts are padded with BOUNDARY and never reach into another string. OTHER stands for every character
    outside the vocabulary; as a target it says nothing and should carry no loss.

    order: "entries" shuffles a client's messages by a fixed rule, then splits them 60/20/20;
      "catalogue" keeps the order of the source, which puts other topics into test than into train
    context: how many previous symbols an example has
    min_characters: smaller clients are left out; 100 is the least
    hold_out: "language" holds out all clients of a language together ("es" with "es_MX")
    """
    choice("order", order, ("entries", "catalogue"))
    choice("hold_out", hold_out, ("client", "language"))
    whole("context", context)
    whole("min_characters", min_characters, FEWEST_CHARACTERS)
    arrays = read("keyboard")
    lengths = arrays["string_characters"].astype(np.int64)
    strings_from = edges(arrays["entry_strings"])  # [entry + 1] the entry's first string
    entries_from = edges(arrays["client_entries"])  # [client + 1] the client's first entry
    size = np.add.reduceat(lengths, strings_from[entries_from[:-1]])
    clients = np.flatnonzero(size >= min_characters)
    if not len(clients):
        raise PflError(f"min_characters: expected at most {size.max()}, the largest client, got {min_characters}")
    ids = tuple(str(arrays["ids"][client]) for client in clients)

    entries = [_entry_order(str(arrays["ids"][c]), entries_from[c], entries_from[c + 1], order) for c in clients]
    rows = np.add.reduceat(lengths + 1, strings_from[:-1])  # [entry] its examples: characters and final boundaries
    chosen = np.concatenate(entries)
    strings = ranges(strings_from[chosen], np.diff(strings_from)[chosen])
    x, y = next_symbols(arrays["tokens"], edges(lengths)[strings], lengths[strings], context)
    return Population(
        arrays={"x": x, "y": y},
        offsets=edges([rows[mine].sum() for mine in entries]),
        bounds=np.stack([cut(rows[mine]) for mine in entries]),
        ids=ids,
        groups=tuple(name.split("/")[0].split("_")[0] for name in ids) if hold_out == "language" else None,
        about=about("keyboard", "next character", num_classes=len(arrays["characters"]) + 2),
    )


def _entry_order(client_id: str, begin: int, end: int, order: str) -> np.ndarray:
    """[entry] int64: a client's entries as they are split; "entries" sorts by a hash, the same on every machine."""
    entries = np.arange(begin, end)
    if order == "catalogue":
        return entries
    keys = [hashlib.sha256(f"{client_id}:{index}".encode()).digest() for index in range(end - begin)]
    return entries[sorted(range(len(keys)), key=keys.__getitem__)]
