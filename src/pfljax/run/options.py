"""The command line's words as a configuration; every mistake is a PflError of one line."""

import io
import re
from collections.abc import Sequence
from contextlib import redirect_stderr

import tyro

from pfljax.errors import PflError, nearest
from pfljax.run.config import RunConfig, options
from pfljax.run.presets import DEFAULT, PRESETS

CHOICE = "algorithm:"
RESUME = "--resume"


def parse(words: Sequence[str], command: str = "run") -> RunConfig:
    """[preset] [algorithm:NAME] [options], e.g. `keyboard algorithm:ditto --algorithm.lam 0.5`.

    Raises PflError with one line for what is not understood; `--help` prints and raises SystemExit(0).
    """
    rest = list(words)
    preset = rest.pop(0) if rest and not rest[0].startswith(("-", CHOICE)) else DEFAULT
    if preset not in PRESETS:
        raise PflError(f"preset: expected one of {', '.join(PRESETS)}, got {preset!r}{nearest(preset, PRESETS)}")
    chosen = [word for word in rest if word.startswith(CHOICE)]
    if len(chosen) > 1:
        raise PflError(f"algorithm: expected one, got {' '.join(chosen)}; leave one out")
    rest = [word for word in rest if word not in chosen]
    default = PRESETS[preset].config(chosen[0].removeprefix(CHOICE) if chosen else None)
    return _parsed(default, rest, f"pfljax {command} {preset} {CHOICE}{default.algorithm.name}")


def resumed(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """(the folder behind --resume, the other words).

    >>> resumed(["keyboard", "--resume", "runs/first", "--engine.devices", "2"])
    ('runs/first', ['keyboard', '--engine.devices', '2'])
    """
    rest: list[str] = []
    folder, upcoming = None, iter(words)
    for word in upcoming:
        name, equals, value = word.partition("=")
        if name != RESUME:
            rest.append(word)
            continue
        folder = value if equals else next(upcoming, "")
        if not folder or folder.startswith("-"):
            raise PflError(f"{RESUME}: expected the folder of a run behind it, got {folder or 'nothing'}")
    return folder, rest


def parse_again(words: Sequence[str], config: RunConfig) -> RunConfig:
    """A run's configuration with what `words`, as for `parse`, say beside it."""
    rest = list(words)
    preset, name = config.population.name, config.algorithm.name
    if rest and not rest[0].startswith(("-", CHOICE)) and rest.pop(0) != preset:
        raise PflError(f"{RESUME}: expected the run's population {preset!r}, got {words[0]!r}; leave it out")
    for word in [word for word in rest if word.startswith(CHOICE)]:
        if word.removeprefix(CHOICE).replace("-", "_") != name:
            raise PflError(f"{RESUME}: expected the run's {CHOICE}{name}, got {word}; leave it out")
        rest.remove(word)
    return _parsed(config, rest, f"pfljax run {preset} {CHOICE}{name}")


def _parsed(default: RunConfig, words: list[str], prog: str) -> RunConfig:
    known = list(options(default))
    box = io.StringIO()
    try:
        # The union fields are settled by the preset: options may then stand in any order.
        with redirect_stderr(box):
            config, unknown = tyro.cli(
                RunConfig,
                args=words,
                default=default,
                prog=prog,
                description=_description(default),
                config=(tyro.conf.AvoidSubcommands,),
                return_unknown_args=True,
            )
    except SystemExit as stop:
        if stop.code == 0:  # --help
            raise
        raise _reason(stop, box.getvalue()) from None
    if unknown:
        word = unknown[0].split("=")[0]
        hint = _hint(word, known)
        raise PflError(f"option: expected one that {prog} has, got {word!r}{hint}")
    return config


def _hint(word: str, known: list[str]) -> str:
    if word in PRESETS:
        return f"; the preset comes first: pfljax run {word} ..."
    if word == "--algorithm":
        return f"; name one as {CHOICE}NAME, e.g. {CHOICE}ditto"
    return nearest(word.replace("_", "-"), known) or "; see pfljax run --help"


def _reason(stop: SystemExit, box: str) -> PflError:
    """Why tyro refused: our own check if it was one, else the first paragraph of its box."""
    cause: BaseException | None = stop
    while cause is not None:
        if isinstance(cause, PflError):
            return cause
        cause = cause.__context__
    # The box has a title, what was wrong, and where to find help; drawn with lines, or in ASCII on a poor terminal.
    lines = [line for line in (line.strip("│|╭╮╰╯─+- ") for line in box.splitlines()) if line][1:]
    help_from = next(
        (index for index, line in enumerate(lines) if line.startswith(("Argument help", "For full help"))), len(lines)
    )
    said = " ".join(lines[:help_from]) or box.strip().replace("\n", " ")
    said = re.sub(r"^Error parsing (--\S+): ", r"\1: ", said)
    said = re.sub(
        r"no type matching \{None\}\|INT .* from \['(.*?)'\].*", r"expected a whole number or None, got '\1'", said
    )
    said = re.sub(r"invalid literal for int\(\) with base 10: (.*)", r"expected a whole number, got \1", said)
    said = re.sub(r"could not convert string to float: (.*)", r"expected a number, got \1", said)
    return PflError(said)


def _description(config: RunConfig) -> str:
    names = ", ".join(CHOICE + each.name for each in PRESETS[config.population.name].algorithms)
    return (
        f"{RunConfig.__doc__} Usage: pfljax run [{'|'.join(PRESETS)}] [algorithm:NAME] [options], options in any "
        f"order. Algorithms: {names}. The options below are those of {CHOICE}{config.algorithm.name}. "
        f"{RESUME} DIR goes on with a run that was stopped, in its folder; no other words are needed."
    )
