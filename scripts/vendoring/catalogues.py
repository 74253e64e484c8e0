"""keyboard.npz: the translated messages of Django's catalogues, one client for each (language, app)."""

import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Collection

import numpy as np

from vendoring.po import Message, parse_po, usable_strings
from vendoring.source import Source

SOURCE = Source(
    package="Django",
    version="5.2.19",
    wheel="django-5.2.19-py3-none-any.whl",
    sha256="5965d974a5218a2b68a11dd1276434707f23886525c23f0598eccedaf4f4ca00",
    licence="BSD-3-Clause",
    licence_member="django-5.2.19.dist-info/licenses/LICENSE",
    part="the message catalogues django/**/locale/*/LC_MESSAGES/django.po",
    changes="lower-cased, without duplicates, comments and headers, encoded as symbol ids; "
    "some languages and short catalogues are left out",
    authors="the Django Software Foundation, individual contributors, and the translators whom the catalogues name",
)

VOCABULARY = 256  # boundary, other and the 254 most frequent characters: ids fit uint8
BOUNDARY, OTHER = 0, 1
LARGEST_UNKNOWN_SHARE = 0.03
FEWEST_CHARACTERS = 100
FEWEST_ENTRIES = 3  # one each for train, validation and test


def client_of(member: str) -> tuple[str, str] | None:
    """(language, app) of a wheel's member, or None if it is no catalogue: `conf` is the app `core`."""
    match = re.fullmatch(r"django/(?:contrib/(\w+)|conf)/locale/(\w+)/LC_MESSAGES/django\.po", member)
    return (match[2], match[1] or "core") if match else None


def distinct_entries(messages: list[Message], language: str) -> list[list[str]]:
    """[entry][string]: a client's text in file order, each string only where it first occurs."""
    seen: set[str] = set()
    entries = []
    for message in messages:
        strings = [text for text in dict.fromkeys(usable_strings(message, language)) if text not in seen]
        seen.update(strings)
        if strings:
            entries.append(strings)
    return entries


def unknown_share(count: Counter[str], characters: Collection[str]) -> float:
    """The share of a language's characters that are outside the vocabulary."""
    return 1 - sum(count[symbol] for symbol in characters) / count.total()


def choose_characters(counts: dict[str, Counter[str]]) -> list[str]:
    """The 254 most frequent characters, most frequent first, of languages that are well covered by them.

    The worst covered language is left out and the characters are counted again until all are within the limit:
    otherwise scripts that are left out anyway would take places in the vocabulary.
    """
    languages = set(counts)
    while True:
        total = sum((counts[language] for language in languages), Counter())
        characters = sorted(total, key=lambda symbol: (-total[symbol], symbol))[: VOCABULARY - 2]
        worst = max(sorted(languages), key=lambda language: unknown_share(counts[language], characters))
        if unknown_share(counts[worst], characters) <= LARGEST_UNKNOWN_SHARE:
            return characters
        languages.remove(worst)


def arrays(wheel: zipfile.ZipFile) -> dict[str, np.ndarray]:
    """The arrays of keyboard.npz, as described in `pfljax.data.embedded.keyboard`."""
    clients = {}
    for member in sorted(wheel.namelist()):
        if key := client_of(member):
            clients[key] = distinct_entries(parse_po(wheel.read(member).decode("utf-8")), key[0])
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for (language, _), entries in clients.items():
        counts[language].update("".join(text for strings in entries for text in strings))
    characters = choose_characters(counts)
    symbols = {symbol: index + 2 for index, symbol in enumerate(characters)}
    kept = {
        f"{language}/{app}": entries
        for (language, app), entries in sorted(clients.items())
        if unknown_share(counts[language], characters) <= LARGEST_UNKNOWN_SHARE
        and len(entries) >= FEWEST_ENTRIES
        and sum(len(text) for strings in entries for text in strings) >= FEWEST_CHARACTERS
    }
    entries = [strings for client in kept.values() for strings in client]
    texts = [text for strings in entries for text in strings]
    return {
        "tokens": np.array([symbols.get(symbol, OTHER) for symbol in "".join(texts)], dtype=np.uint8),
        "string_characters": np.array([len(text) for text in texts], dtype=np.uint16),
        "entry_strings": np.array([len(strings) for strings in entries], dtype=np.uint8),
        "client_entries": np.array([len(client) for client in kept.values()], dtype=np.uint16),
        "ids": np.array(list(kept)),
        "characters": np.array([ord(symbol) for symbol in characters], dtype=np.uint32),
    }
