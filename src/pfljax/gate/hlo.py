"""What a compiled program consists of, read from its HLO text."""

import re
from collections import Counter
from typing import NamedTuple

COLLECTIVES = (
    "all-gather", "all-reduce", "all-to-all", "collective-broadcast", "collective-permute", "ragged-all-to-all",
    "reduce-scatter",
)  # fmt: skip
# Names for numbers and for other computations, rather than work.
NAMES = ("bitcast", "call", "constant", "get-tuple-element", "parameter", "tuple")

_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .*\{$")
# A shape may hold parentheses, but never a space and then a word right before one.
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?[\w.\-]+ = (?:.*?\s)??([a-z][a-z0-9\-]*)\(")
_CALLED = re.compile(r"(\w+)=(?:%([\w.\-]+)|\{(%[^}]*)\})")
_LOOP_PARTS = ("body", "condition")


class Instruction(NamedTuple):
    """opcode: as in the text, but a start/done pair is one operation; called: ((part, computation), ...); line: all."""

    opcode: str
    called: tuple[tuple[str, str], ...]
    line: str


class Program(NamedTuple):
    """The computations of a module by name, and which one is its entry."""

    computations: dict[str, list[Instruction]]
    entry: str


def parse(text: str) -> Program:
    """Reads `compiled.as_text()`."""
    computations: dict[str, list[Instruction]] = {}
    entry, current = "", []
    for line in text.splitlines():
        if begin := _COMPUTATION.match(line):
            current = computations.setdefault(begin[2], [])
            entry = begin[2] if begin[1] else entry
        elif (found := _INSTRUCTION.match(line)) and not found[1].endswith("-done"):
            called = tuple(
                (part, name.strip().removeprefix("%"))
                for part, one, many in _CALLED.findall(line[found.end() :])
                for name in (one or many).split(",")
            )
            current.append(Instruction(found[1].removesuffix("-start"), called, line.strip()))
    return Program(computations, entry)


def histogram(program: Program) -> Counter[str]:
    """{opcode: how often it stands in the program}, within fusions and loops too, without mere names."""
    found = (instruction.opcode for each in program.computations.values() for instruction in each)
    return Counter(opcode for opcode in found if opcode not in NAMES)


def collectives_deeper_than(program: Program, depth: int) -> int:
    """The collectives that stand in more than `depth` nested loops."""
    depths: dict[str, int] = {}

    def visit(name: str, loops: int) -> None:
        if loops <= depths.get(name, -1):
            return
        depths[name] = loops
        for instruction in program.computations[name]:
            for part, inner in instruction.called:
                if inner in program.computations:
                    visit(inner, loops + (instruction.opcode == "while" and part in _LOOP_PARTS))

    visit(program.entry, 0)
    return sum(
        instruction.opcode in COLLECTIVES
        for name, loops in depths.items()
        if loops > depth
        for instruction in program.computations[name]
    )
