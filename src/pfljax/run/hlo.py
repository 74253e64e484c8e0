"""What a compiled block of rounds makes one device do in a round, read from its text: collectives, memory traffic.

A block's loops are rounds > groups of chunks > chunks > a client's steps; the text does not know how often they turn,
but the plan does. Loops of a fixed length (the inner steps of MAML, say) say it themselves.
"""

import math
import re
from dataclasses import dataclass
from typing import NamedTuple

from pfljax.gate.hlo import COLLECTIVES, NAMES, Instruction, Program, parse

ROUNDS = 1  # the outermost loop of unknown length

_RESULT = re.compile(r"^(?:ROOT )?%?([\w.\-]+) = (.*?\s)??[a-z][a-z0-9\-]*\(")
_ARRAY = re.compile(r"\b([a-z]+[0-9]*(?:e[0-9]+m[0-9]+\w*)?)\[([0-9,<=]*)\](?:\{([^}]*)\})?")
_KNOWN = re.compile(r'"?known_trip_count"?[:=]\s*\{"?n"?[:=]\s*"?(\d+)"?\}')
_BOUND = re.compile(r"constant\((\d+)\)")
_UPDATES = {"dynamic-update-slice": 1, "scatter": -1}  # what changes a part in place, and which operand is that part
_OPERANDS = re.compile(r"\(([^()]*)\)")
_GROUPS = re.compile(r"replica_groups=(?:\{\{([0-9,]+)\}|\[\d+,(\d+)\])")
_CLOSED = ("fusion", "reduce", "scatter", "sort", "map", "reduce-window", "select-and-scatter", "all-reduce",
           "reduce-scatter")  # fmt: skip
_NOT_HERE = re.compile(r"S\([1-9]")  # a TPU's memory spaces beyond the HBM


class Turns(NamedTuple):
    """How often loops turn in a round of one device: groups; chunks in each; steps in each chunk, on average."""

    groups: float
    chunks: float
    steps: float

    def of(self, depth: int) -> float:
        """The loop at this depth of loops with unknown length; rounds count once, those within a step once a step."""
        return {2: self.groups, 3: self.chunks, 4: self.steps}.get(depth, 1.0)


@dataclass(frozen=True)
class Collective:
    """All collectives of one kind: their number and bytes in a round, and how many stand within a client loop.

    num_bytes: of what one device gets in full: the sum, all that is gathered, all that is scattered
    """

    kind: str
    num: float
    num_bytes: float
    num_in_clients: int


class Round(NamedTuple):
    """One device's part of a round.

    instructions: that are started one after another; traffic: bytes that they move to and from its main memory, each
    result written once and read once
    """

    collectives: tuple[Collective, ...]
    instructions: float
    traffic: float


def read_round(text: str, turns: Turns) -> Round:
    """Counts `compiled.as_text()` of a block, each loop as often as it turns. What is outside of rounds is left out."""
    program = parse(text)
    found: dict[str, list[float]] = {}
    totals = {"instructions": 0.0, "traffic": 0.0}

    def visit(name: str, depth: int, times: float) -> None:
        for each in program.computations[name]:
            if depth >= ROUNDS:
                if each.opcode in COLLECTIVES:
                    entry = found.setdefault(each.opcode, [0.0, 0.0, 0.0])
                    entry[0] += times
                    entry[1] += times * payload(each)
                    entry[2] += depth > ROUNDS
                if each.opcode not in (*NAMES, "while", "conditional"):
                    totals["instructions"] += times
                    totals["traffic"] += times * moved(program, each)
            if each.opcode in _CLOSED:  # what it calls is part of it
                continue
            parts = dict(each.called)
            if each.opcode == "while":
                length = loop_length(program, each)
                inner = depth + (length is None)
                visit(parts["body"], inner, times * (turns.of(inner) if length is None else length))
                continue
            for inner in {inner for _, inner in each.called if inner in program.computations}:
                visit(inner, depth, times)

    visit(program.entry, 0, 1.0)
    collectives = tuple(
        Collective(kind, values[0], values[1], int(values[2])) for kind, values in sorted(found.items())
    )
    return Round(collectives, totals["instructions"], totals["traffic"])


def loop_length(program: Program, loop: Instruction) -> int | None:
    """How often a `while` turns, if it does not depend on what is computed."""
    if found := _KNOWN.search(loop.line):
        return int(found[1])
    condition = program.computations[dict(loop.called)["condition"]]
    lines = {_name(each): each for each in condition}
    root = next(each for each in condition if each.line.startswith("ROOT"))
    if root.opcode != "compare" or "direction=LT" not in root.line:
        return None
    bound = lines.get(_operands(root)[-1])
    found = _BOUND.search(bound.line) if bound else None
    return int(found[1]) if found and bound and bound.opcode == "constant" else None


def payload(each: Instruction) -> float:
    """Bytes that a collective brings each device: its result, but for a reduce-scatter all that went in."""
    arrays = _arrays(each)
    sizes = [size for size, _ in arrays]
    if each.opcode == "reduce-scatter":
        groups = _GROUPS.search(each.line)
        size = 1 if groups is None else int(groups[2]) if groups[2] else groups[1].count(",") + 1
        return sum(sizes) * size
    is_pair = f" {each.opcode}-start(" in each.line and each.opcode != "all-reduce"  # what goes in stands beside it
    return max(sizes) if is_pair else sum(sizes)


def moved(program: Program, each: Instruction) -> float:
    """Bytes that an instruction makes pass to and from main memory: what it writes there, written and read once.

    An update in place writes the update; a copy that runs beside others passes once for each of its ends there.
    """
    arrays = _arrays(each)
    if f" {each.opcode}-start(" in each.line and each.opcode not in COLLECTIVES:
        ends = arrays[:2]
        return min((size for size, _ in ends), default=0) * sum(is_here for _, is_here in ends)
    here = sum(size for size, is_here in arrays if is_here)
    called = dict(each.called).get("calls")
    inside = program.computations.get(called, []) if each.opcode == "fusion" and called else [each]
    made = {_name(one) for one in inside if one.opcode in ("broadcast", "constant")}  # is written in full
    changes = (one for one in inside if one.opcode in _UPDATES and _operands(one)[0] not in made)
    update = sum(_update_bytes(program, one) for one in changes)
    return 2 * (min(here, update) if update else here)


def _update_bytes(program: Program, update: Instruction) -> float:
    name = _operands(update)[_UPDATES[update.opcode]]
    everywhere = (each for computation in program.computations.values() for each in computation)
    return next((sum(size for size, _ in _arrays(each)) for each in everywhere if _name(each) == name), 0.0)


def _name(each: Instruction) -> str:
    found = _RESULT.match(each.line)
    assert found is not None
    return found[1]


def _operands(each: Instruction) -> list[str]:
    found = _RESULT.match(each.line)
    assert found is not None
    inside = _OPERANDS.match(each.line, found.end() - 1)
    return re.findall(r"%([\w.\-]+)", inside[1]) if inside else []


def _arrays(each: Instruction) -> list[tuple[float, bool]]:
    """(bytes, whether they lie in main memory) of each array of the result."""
    found = _RESULT.match(each.line)
    assert found is not None
    return [
        (_item_bytes(dtype) * math.prod(int(size) for size in shape.replace("<=", "").split(",") if size),
         not _NOT_HERE.search(layout))
        for dtype, shape, layout in _ARRAY.findall(found[2] or "")
    ]  # fmt: skip


def _item_bytes(dtype: str) -> float:
    if dtype in ("token", "opaque"):
        return 0
    if dtype == "pred":
        return 1
    bits = int(re.sub(r"^[a-z]+|e[0-9].*$", "", dtype) or 8)
    return bits / 8
