"""`pfljax data`: a population's facts as text, and its page as a PNG file."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pfljax import data
from pfljax.data.embedded import LOADERS
from pfljax.data.embedded.files import read
from pfljax.errors import PflError, nearest

USAGE = """\
usage: pfljax data NAME [--out FILE.png] [--OPTION VALUE ...]

Says what a population is like and draws it: client sizes, labels or targets, some examples. The picture goes to
NAME.png in the current folder, which must not be there yet, or to FILE.png, which is replaced.

"""


class Look(NamedTuple):
    """What to look at, and where the picture goes."""

    name: str
    options: dict[str, int | float | str]
    path: Path


def parse(words: Sequence[str]) -> Look:
    """NAME [--out FILE.png] [--OPTION VALUE ...]; options are those of the population, such as --min-characters 500.

    Raises PflError for what is not understood and for a picture that cannot be written.
    """
    known = ", ".join(LOADERS)
    if not words or words[0].startswith("-"):
        raise PflError(f"data: expected one of {known} behind it, got {words[0] if words else 'nothing'}")
    name, *rest = words
    if name not in LOADERS:
        raise PflError(f"data: expected one of {known}, got {name!r}{nearest(name, LOADERS)}")
    given = _pairs(rest)
    out = given.pop("out", None)
    names = list(inspect.signature(LOADERS[name]).parameters)
    for option in given:
        if option not in names:
            flags = ["--" + each.replace("_", "-") for each in ("out", *names)]
            flag = "--" + option.replace("_", "-")
            raise PflError(f"data {name}: expected one of {', '.join(flags)}, got {flag!r}{nearest(flag, flags)}")
    path = Path(f"{name}.png" if out is None else out)
    if path.suffix.lower() != ".png":
        raise PflError(f"--out: expected a file that ends with .png, got {out!r}")
    if not path.parent.is_dir() or path.is_dir():
        raise PflError(f"--out: expected a file in a folder that is there, got {out!r}")
    if out is None and path.exists():
        raise PflError(f"{path}: expected no such file here, got one; name it by --out to replace it, or another")
    return Look(name, {option: _value(word) for option, word in given.items()}, path)


def look(wanted: Look) -> str:
    """Writes the picture and returns the facts."""
    from pfljax.run.draw_population import draw

    population = data.load(wanted.name, **wanted.options)
    facts = str(data.describe(population))
    try:
        wanted.path.write_bytes(draw(population, class_names(wanted.name)))
    except OSError as error:
        raise PflError(f"{wanted.path}: expected a file that can be written, got {error}") from error
    return facts


def class_names(name: str) -> tuple[str, ...]:
    """What the classes of an embedded population are called; none where they are only numbers.

    >>> class_names("wearable")[0], class_names("keyboard")[2]
    ('pendulum', ' ')
    """
    kept = read(name)
    if "characters" in kept:
        return data.characters(name)
    return tuple(map(str, kept["labels"])) if "labels" in kept else ()


def usage(words: Sequence[str]) -> str:
    """How to use it, and what is known of the population that the words name first."""
    name = words[0] if words and words[0] in LOADERS else None
    about = f"populations: {', '.join(LOADERS)}; pfljax data NAME --help says more"
    return USAGE + (about if name is None else f"{name}\n{inspect.getdoc(LOADERS[name])}") + "\n"


def _pairs(words: Sequence[str]) -> dict[str, str]:
    """{option: value} of --option value and --option=value, dashes as underscores."""
    given, rest = {}, list(words)
    while rest:
        flag, is_whole, value = rest.pop(0).partition("=")
        if not flag.startswith("--"):
            raise PflError(f"data: expected options such as --out FILE.png, got {flag!r}")
        if not is_whole:
            if not rest or rest[0].startswith("--"):
                raise PflError(f"{flag}: expected a value behind it, got {rest[0] if rest else 'nothing'}")
            value = rest.pop(0)
        option = flag[2:].replace("-", "_")
        if option in given:
            raise PflError(f"{flag}: expected once, got it twice; leave one out")
        given[option] = value
    return given


def _value(word: str) -> int | float | str:
    """A number where the word is one; the population's loader checks what it is given."""
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            pass
    return word
