"""`plays`: the next character of Shakespeare's plays; a client is one role of one play, such as "hamlet/HAMLET".

plays.npz, sorted by play and role, each role's speeches in the order of its play:
  tokens [character] uint8, speech_characters [speech], client_speeches [client], ids [client],
  characters [character] code points of the symbols from 2 on
"""

from typing import Literal

import numpy as np

from pfljax.data.embedded.files import about, choice, read
from pfljax.data.embedded.runs import edges, ranges
from pfljax.data.embedded.text import cut, next_symbols
from pfljax.data.population import Population
from pfljax.errors import PflError, whole

FEWEST_CHARACTERS = 500


def load(context: int = 6, min_characters: int = 2000, hold_out: Literal["client", "play"] = "client") -> Population:
    """x: [example, context] uint8, the symbols before y: [example] uint8; a speech ends by predicting BOUNDARY.

    Contexts are padded with BOUNDARY and never reach into another speech. A role's speeches are split 60/20/20
    in the order of the play, at borders between speeches. Lines end with a newline.

    context: how many previous symbols an example has
    min_characters: roles that say less are left out; 500 is the least
    hold_out: "play" holds out all roles of a play together
    """
    choice("hold_out", hold_out, ("client", "play"))
    whole("context", context)
    whole("min_characters", min_characters, FEWEST_CHARACTERS)
    arrays = read("plays")
    lengths = arrays["speech_characters"].astype(np.int64)
    speeches_from = edges(arrays["client_speeches"])  # [client + 1] the client's first speech
    size = np.add.reduceat(lengths, speeches_from[:-1])
    clients = np.flatnonzero(size >= min_characters)
    if not len(clients):
        raise PflError(f"min_characters: expected at most {size.max()}, the longest role, got {min_characters}")
    ids = tuple(str(arrays["ids"][client]) for client in clients)
    rows = [lengths[speeches_from[c] : speeches_from[c + 1]] + 1 for c in clients]  # examples of each speech
    said = ranges(speeches_from[clients], np.diff(speeches_from)[clients])
    x, y = next_symbols(arrays["tokens"], edges(lengths)[said], lengths[said], context)
    return Population(
        arrays={"x": x, "y": y},
        offsets=edges([mine.sum() for mine in rows]),
        bounds=np.stack([cut(mine) for mine in rows]),
        ids=ids,
        groups=tuple(name.split("/")[0] for name in ids) if hold_out == "play" else None,
        about=about("plays", "next character", num_classes=len(arrays["characters"]) + 2),
    )
