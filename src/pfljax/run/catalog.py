"""All algorithms at one look: whose they are, what they move, what they keep. Read off the code."""

import ast
import inspect
import re
from dataclasses import dataclass
from pathlib import Path

import pfljax
from pfljax import algorithms
from pfljax.data.population import Population
from pfljax.engine.memory import said
from pfljax.engine.traffic import Traffic, traffic
from pfljax.errors import PflError
from pfljax.types import Algorithm, Model

SHARED = "!head/*"  # what split methods share where they ask for a choice
CHOICES = {"adapt": "head/*", "shared": SHARED}
TITLE = re.compile(r'\s*"[^"]*",?')


@dataclass(frozen=True)
class Entry:
    """paper: without its title; file: from src on; lines: of code; traffic: None if the model does not suit, `why`."""

    name: str
    paper: str
    file: str
    lines: int
    traffic: Traffic | None
    why: str = ""

    @property
    def facts(self) -> tuple[str, str, str, str, str]:
        """Download, upload, kept, what the server sees, what an unseen client starts from; dashes where unknown.

        Where nothing is kept, nobody's past is missed; else an unseen client has the state of a first participation.
        """
        moves = self.traffic
        if moves is None:
            return ("-", "-", "-", "-", "-")
        unseen = "its first state" if moves.kept else "what strangers are sent" if moves.is_named else "as a seen one"
        return said(moves.download), said(moves.upload), said(moves.kept), moves.sees, unseen


def made(name: str, model: Model, **arguments) -> Algorithm:
    """An algorithm by name, with its defaults; a pattern that it asks for splits the head from the rest."""
    make = getattr(algorithms, name)
    asked = inspect.signature(make).parameters
    return make(
        model, **{key: value for key, value in CHOICES.items() if key in asked and _is_open(asked[key])}, **arguments
    )


def catalog(model: Model, population: Population) -> list[Entry]:
    """One entry for each algorithm, in alphabetical order."""
    entries = []
    for name in algorithms.__all__:
        module = inspect.getmodule(getattr(algorithms, name))
        assert module is not None
        source = Path(str(module.__file__))
        paragraph = " ".join((module.__doc__ or "").split("\n\n")[0].split())
        facts = (name, TITLE.sub("", paragraph), str(source.relative_to(Path(pfljax.__file__).parent.parent)))
        try:
            entries.append(Entry(*facts, code_lines(source.read_text()), traffic(made(name, model), population)))
        except PflError as error:
            entries.append(Entry(*facts, code_lines(source.read_text()), None, str(error)))
    return entries


def code_lines(source: str) -> int:
    """Lines of code: no docstrings, imports, comments, blank lines."""
    tree, skipped = ast.parse(source), set()
    for node in ast.walk(tree):
        is_text = (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        )
        if isinstance(node, ast.Import | ast.ImportFrom) or (is_text and isinstance(node, ast.Expr)):
            skipped |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    numbered = enumerate(source.splitlines(), start=1)
    return sum(
        number not in skipped and bool(line.strip()) and not line.strip().startswith("#") for number, line in numbered
    )


def _is_open(parameter: inspect.Parameter) -> bool:
    return parameter.default is inspect.Parameter.empty
