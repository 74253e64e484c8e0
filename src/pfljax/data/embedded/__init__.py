"""`load`: the real populations that come with the package, one module each; nothing is downloaded."""

import inspect
from collections.abc import Callable
from typing import Any

from pfljax.data.embedded import digits, insurance, keyboard, lending, plays, purchases, wearable
from pfljax.data.embedded.keyboard import FEWEST_CHARACTERS
from pfljax.data.embedded.symbols import characters
from pfljax.data.embedded.text import BOUNDARY, OTHER
from pfljax.data.embedded.wearable import exercises
from pfljax.data.population import Population
from pfljax.errors import PflError, nearest

__all__ = ["BOUNDARY", "FEWEST_CHARACTERS", "LOADERS", "OTHER", "characters", "exercises", "load"]

LOADERS: dict[str, Callable[..., Population]] = {
    "keyboard": keyboard.load,
    "plays": plays.load,
    "wearable": wearable.load,
    "insurance": insurance.load,
    "purchases": purchases.load,
    "lending": lending.load,
    "digits": digits.load,
}


def load(name: str, **options: Any) -> Population:
    """An embedded population, such as `load("keyboard")`. For each one's options see its module's `load`.

    keyboard: the next character of translated messages; a client is one (language, app) such as "de/admin".
      order="entries"|"catalogue", context=6, min_characters=200, hold_out="client"|"language"
    plays: the next character of Shakespeare; a client is one role of a play such as "hamlet/HAMLET".
      context=6, min_characters=2000, hold_out="client"|"play"
    wearable: seven shoulder exercises from a smartwatch's motion; a client is one wrist of a subject, and both
      wrists are held out together. No options.
    insurance: a person's doctor visits next year; thousands of tiny clients.
      target="visits"|"spend", min_years=3
    purchases: what a customer of a shop spends next, from their past. target="amount"|"gap", min_purchases=5
    lending: whether a loan goes bad; a client is a state. seed=0
    digits: which digit an image shows; a client is a form, filled in by one hand, or dealt by label.
      partition="forms"|"dirichlet", num_clients, alpha, seed=0

    Raises PflError for a name or an option that is not known.

    >>> load("wearable").num_clients
    20
    """
    if name not in LOADERS:
        raise PflError(f"name: expected one of {', '.join(LOADERS)}, got {name!r}{nearest(str(name), LOADERS)}")
    known = list(inspect.signature(LOADERS[name]).parameters)
    for option in options:
        if option not in known:
            expected = f"one of {', '.join(known)}" if known else "none"
            raise PflError(f"option of {name}: expected {expected}, got {option!r}{nearest(option, known)}")
    return LOADERS[name](**options)
