"""What the symbol numbers of text populations stand for."""

from pfljax.data.embedded.files import choice, read


def characters(population: str = "keyboard") -> tuple[str, ...]:
    """The symbols of a text population by id; the boundary (0) is shown as "␃", any other character (1) as "�".

    >>> from pfljax.data import load
    >>> "".join(characters()[token] for token in load("keyboard").client("en/auth")["y"][:12])
    'set password'
    """
    choice("population", population, ("keyboard", "plays"))
    return ("␃", "�", *map(chr, read(population)["characters"]))
