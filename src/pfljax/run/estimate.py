"""What a run will take, said before it runs: bytes, steps, operations, compile time."""

from dataclasses import dataclass

from pfljax.engine import Program, prepare
from pfljax.engine.memory import free_bytes, host_free_bytes, num_bytes, said
from pfljax.gate import round_operations
from pfljax.run.config import RunConfig
from pfljax.run.job import algorithms, how, phase_seeds

ROUNDS = 10  # that steps and operations are averaged over


@dataclass(frozen=True)
class Estimate:
    """Bytes on each device (`total` of them all), steps and floating-point operations of a round, on average.

    host_examples: bytes of the population where it was loaded; examples: what each device holds of it (CPU devices
    read the host's own); steps: optimizer steps of a cohort; lane_steps: with those that lanes wait
    """

    name: str
    host_examples: int
    server: int
    clients: int
    examples: int
    plan: int
    temporaries: int
    total: int
    free: int
    host_free: int
    is_shared: bool
    is_streamed: bool
    num_devices: int
    device: str
    cohort: int
    width: int
    why: str
    steps: float
    lane_steps: float
    operations: float
    compile_seconds: float

    def __str__(self) -> str:
        examples = f"{said(self.examples)} of examples"
        if self.is_streamed:
            examples += ", brought along block by block"
        elif self.is_shared:
            examples += ", the host's own"
        waiting = f", {1 - self.steps / self.lane_steps:.1%} of lane-steps waiting" if self.lane_steps else ""
        return "\n".join(
            [
                f"{self.name}: {self.cohort} clients a round on {self.num_devices} {self.device} "
                f"device{'s' if self.num_devices > 1 else ''}, width {self.width} ({self.why})",
                f"  host         {said(self.host_examples)} of examples; {said(self.host_free)} free",
                f"  each device  {said(self.total)} of {said(self.free)} free: {said(self.server)} of parameters and "
                f"server state, {said(self.clients)} of client state, {examples}, {said(self.plan)} of plan, "
                f"{said(self.temporaries)} of temporaries",
                f"  a round      {self.steps:,.0f} steps{waiting}, {self.operations / 1e9:,.3g} GFLOP",
                f"  compiling    {self.compile_seconds:.1f} s",
            ]
        )


def estimate(program: Program, name: str) -> Estimate:
    """Compiles a program and asks it, its plan and its jaxpr what a round takes."""
    job, mesh, needs = program.job, program.mesh, program.needs
    carry = job.shapes(program.num_kept, program.num_slots)
    planned = round_operations(program, program.plan(0, ROUNDS))
    server, clients = num_bytes(carry.servers), num_bytes(carry.shelf) // mesh.size
    examples = program.example_bytes
    return Estimate(
        name=name,
        host_examples=sum(array.nbytes for array in job.population.arrays.values()),
        server=server,
        clients=clients,
        examples=examples,
        plan=max(0, needs.arguments - server - clients - examples),
        temporaries=needs.temporaries + needs.outputs + needs.code,
        total=program.device_bytes,
        free=free_bytes(mesh, job.memory),
        host_free=host_free_bytes(),
        is_shared=program.shared_bytes > 0,
        is_streamed=program.stream is not None,
        num_devices=mesh.size,
        device=mesh.devices.flat[0].platform,
        cohort=job.cohort,
        width=program.width,
        why=program.why,
        steps=planned.steps / ROUNDS,
        lane_steps=planned.lane_steps / ROUNDS,
        operations=planned.paid.floating / ROUNDS,
        compile_seconds=program.compile_seconds,
    )


def estimates(config: RunConfig) -> list[Estimate]:
    """What each method of a run will take. Raises PflError, with the number, for what will not fit."""
    population = config.population.load()
    _, seeds = phase_seeds(config.seed)
    made = []
    for algorithm in filter(None, algorithms(config, population)):
        arguments = {"cohort": config.cohort, "seed": seeds, "unseen": config.unseen} | how(config)
        made.append(estimate(prepare(algorithm, population, **arguments), f"{population.about.name}, {algorithm.name}"))
    return made
