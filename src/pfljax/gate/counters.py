"""The counters of a program: what its rounds cost, without a clock."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax

from pfljax.data.population import Population
from pfljax.engine import Program, prepare, rounds
from pfljax.errors import PflError, whole
from pfljax.gate import hlo
from pfljax.gate.compiles import counted_compiles
from pfljax.gate.operations import equations, operations
from pfljax.gate.planned import Count, bilinear, round_operations
from pfljax.gate.primitives import CALLBACKS
from pfljax.types import Algorithm

NUM_ROUNDS = 10  # whose plan is counted
NUM_BLOCKS = 3  # that are run to see what compiles
OPCODES = (
    "all-gather", "all-reduce", "all-to-all", "collective-permute", "convolution", "copy", "custom-call", "dot",
    "fusion", "reduce-scatter", "while",
)  # fmt: skip


@dataclass(frozen=True)
class Workload:
    """Pinned rounds to count. arguments: those of `pfljax.rounds`, without rounds, block and pause_every."""

    algorithm: Algorithm
    population: Population
    arguments: Mapping[str, Any]
    count: Callable[[Program], Count]


def workload(
    algorithm: Algorithm, population: Population, *, count: Callable[[Program], Count] = bilinear, **arguments: Any
) -> Workload:
    """Rounds to count: the arguments of `pfljax.rounds`. Fix width and devices, or the machine chooses them.

    count: how a client's operations follow from its steps and rows; `exact` if they are not linear in them
    """
    return Workload(algorithm, population, arguments, count)


def measure(of: Workload, num_rounds: int = NUM_ROUNDS) -> dict[str, int | float]:
    """All counters of a workload: those of its program, and how often running it traces and compiles.

    Forgets what JAX has compiled in this process, so that the counts do not depend on what ran before.
    """
    jax.clear_caches()
    with counted_compiles() as seen:
        program = prepare(of.algorithm, of.population, **of.arguments)
        found = counters(program, num_rounds, of.count(program))
        blocks = rounds(of.algorithm, of.population, rounds=NUM_BLOCKS, block=1, **of.arguments)
        next(blocks)
        first = (seen.num_compiles, seen.num_traces)
        for _ in blocks:
            pass
    later = (seen.num_compiles - first[0], seen.num_traces - first[1])
    return found | {
        "compiles_before_second_block": first[0],
        "compiles_later": later[0],
        "traces_later": later[1],
    }


def counters(program: Program, num_rounds: int = NUM_ROUNDS, count: Count | None = None) -> dict[str, int | float]:
    """What can be read from a program and from its plan of the first `num_rounds` rounds; nothing is run.

    Of a block program each loop's body counts once; a round is the mean over the plan's rounds. See
    docs/performance_gate.md for every counter. One that this kind of device does not tell is left out.

    Raises PflError for more rounds than a plan has room for.
    """
    if whole("num_rounds", num_rounds) > program.max_rounds:
        raise PflError(f"num_rounds: expected at most {program.max_rounds}, got {num_rounds}")
    planned = round_operations(program, program.plan(0, num_rounds), count)
    of_block = operations(program.traced.jaxpr)
    a_round = lambda total: total // num_rounds if total % num_rounds == 0 else total / num_rounds
    names = [equation.primitive.name for equation in equations(program.traced.jaxpr)]
    found: dict[str, int | float] = {
        "operations": a_round(planned.paid.floating),
        "useful_operations": a_round(planned.useful.floating),
        "transcendentals": a_round(planned.paid.transcendental),
        "steps": a_round(planned.steps),
        "lane_steps": a_round(planned.lane_steps),
        "longest_device_steps": a_round(planned.longest),
        "block_operations": of_block.floating,
        "block_loops": of_block.unknown_loops,
        "jaxpr_equations": len(names),
        "host_callbacks": sum(name in CALLBACKS for name in names),
    }
    return found | _of_executable(program.compiled)


def _of_executable(compiled: jax.stages.Compiled) -> dict[str, int | float]:
    found: dict[str, int | float] = {}
    text = compiled.as_text()
    if text is not None:
        module = hlo.parse(text)
        ops = hlo.histogram(module)
        found |= {f"hlo_{opcode.replace('-', '_')}": ops[opcode] for opcode in OPCODES}
        found["hlo_total"] = sum(ops.values())
        # The loop over rounds is the outermost; what is deeper waits for other devices once a client or a step.
        found["collectives_in_client_loops"] = hlo.collectives_deeper_than(module, 1)
    accessed = (compiled.cost_analysis() or {}).get("bytes accessed")
    if accessed is not None:
        found["accessed_bytes"] = int(accessed)
    memory = compiled.memory_analysis()
    if memory is not None:
        found |= {
            "argument_bytes": memory.argument_size_in_bytes,
            "output_bytes": memory.output_size_in_bytes,
            # Results that do not take the place of a donated argument.
            "undonated_bytes": memory.output_size_in_bytes - memory.alias_size_in_bytes,
            "temp_bytes": memory.temp_size_in_bytes,
            "peak_bytes": memory.peak_memory_in_bytes,
            "code_bytes": memory.generated_code_size_in_bytes,
        }
    return found
