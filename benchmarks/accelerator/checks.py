"""Whether an accelerator computes what the CPU does, and the same bits where they are promised."""

import os
import tempfile
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import algorithms
import gate
import jax
import numpy as np
import optax
import scaling
from jax.sharding import Mesh
from peers import agreement
from peers.contestants import pfljax_parts as parts

import pfljax as pfl
from accelerator.report import Machine, Row, failed
from pfljax.engine.devices import on_host
from pfljax.engine.job import make_job
from pfljax.engine.runs import pick
from pfljax.engine.shelf import in_order
from pfljax.errors import PflError
from pfljax.run.catalog import made
from pfljax.types import Algorithm

Numbers = dict[str, np.ndarray]
TOLERANCE = 1e-3  # of the way that the server moved
FIRST = ("fedavg", "per_fedavg", "scaffold", "ditto", "fedper", "fedadam", "ifca", "pfedhn")
RUN = {"cohort": 8, "rounds": 3, "seed": 0, "unseen": 0.0, "width": 4, "on_nonfinite": "drop"}


def algorithm_of(name: str, people: pfl.data.Population) -> Algorithm:
    """A method of the catalog with its defaults, batches of 10, one epoch where it takes epochs."""
    return made(name, pfl.models.mlp(people, (16,)), **algorithms.OTHER.get(name, {"epochs": 1, "batch": 10}))


def trained(algorithm: Algorithm, people, mesh: Mesh, precision: str | None = "highest", **change) -> Numbers:
    """The server's and the clients' numbers after a few rounds on a mesh."""
    with jax.default_device(mesh.devices.flat[0]), jax.default_matmul_precision(precision):
        result = pfl.simulate(algorithm, people, devices=mesh, **RUN | change)
        return numbers((result.server, result.clients))


def beginning(algorithm: Algorithm, people, mesh: Mesh) -> Numbers:
    """The same numbers before the first round."""
    with jax.default_device(mesh.devices.flat[0]):
        job = make_job(algorithm, people, cohort=RUN["cohort"], seeds=[RUN["seed"]], unseen=0.0, devices=mesh)
        carry = job.begin(job.num_kept, 1)
        return numbers((pick(carry.servers, 0), in_order(carry.shelf, mesh=mesh)))


def numbers(tree) -> Numbers:
    return parts.named(on_host(tree))


def same_bits(mine: Numbers, other: Numbers) -> bool:
    alike = lambda a, b: (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    return mine.keys() == other.keys() and all(alike(mine[name], other[name]) for name in mine)


def apart(start: Numbers, mine: Numbers, other: Numbers) -> float:
    """How far apart two runs' floats are, relative to the way from the start; counters would lengthen it."""
    floats = lambda those: {name: leaf for name, leaf in those.items() if np.issubdtype(leaf.dtype, np.floating)}
    return agreement.difference(floats(start), floats(mine), floats(other))


def bits(what: str, start: Numbers, mine: Numbers, other: Numbers, is_promised: bool = True) -> Row:
    """Whether two runs left the same bits, and how far apart they are if not."""
    if same_bits(mine, other):
        return Row(what, "the same bits", True, {"off": 0.0})
    off = apart(start, mine, other)
    return Row(what, f"other bits: {off:.1e} of the way", not is_promised and off <= TOLERANCE, {"off": off})


def method(machine: Machine, people, name: str) -> list[Row]:
    """One method on both machines, and twice on the accelerator."""
    try:
        algorithm = algorithm_of(name, people)
        start = beginning(algorithm, people, machine.host)
    except PflError as error:
        return [Row(name, f"refused: {error}")]
    try:
        there = trained(algorithm, people, machine.host)
        here = trained(algorithm, people, machine.device)
        again = bits(name, start, here, trained(algorithm, people, machine.device), is_promised=False)
    except Exception as error:
        return [failed(name, error)]
    off = apart(start, there, here)
    found = f"{off:.1e} of the way from the CPU's; again: {again.found}"
    return [Row(name, found, off <= TOLERANCE and bool(again.is_good), {"off": off, "again": again.facts["off"]})]


def methods(machine: Machine, names: tuple[str, ...]) -> Generator[Row]:
    """Compiled side by side: compilation is most of it, and takes one core each."""
    people = gate.people(is_ragged=True)
    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    try:
        for rows in pool.map(partial(method, machine, people), names):
            yield from rows
    finally:
        pool.shutdown(cancel_futures=True)


def promises(machine: Machine) -> Generator[Row]:
    """What has to be the same bits on one kind of device: one check after the other."""
    people = gate.people(is_ragged=True)
    fedavg, fedper = (algorithm_of(name, people) for name in ("fedavg", "fedper"))
    start, kept = (beginning(algorithm, people, machine.host) for algorithm in (fedavg, fedper))
    run, keep = partial(trained, fedavg, people, machine.device), partial(trained, fedper, people, machine.device)

    plain = run()
    yield bits("blocks of one round and of three", start, run(block=1), run(block=3))
    ordered = run(reduction="ordered", block=1)
    yield bits("ordered sums, blocks of one round and of three", start, ordered, run(reduction="ordered", block=3))
    off = apart(start, plain, ordered)
    yield Row("ordered sums beside fast ones", f"{off:.1e} of the way", off <= TOLERANCE, {"off": off})
    yield bits(
        "ordered sums on the CPU", start, ordered, trained(fedavg, people, machine.host, reduction="ordered"), False
    )
    yield bits("examples streamed and resident", start, run(examples="streamed"), run(examples="resident"))
    yield bits("state on the host and on the device", kept, keep(state="host"), keep(state="device"))
    with tempfile.TemporaryDirectory() as folder:
        saved = {"block": 1, "checkpoints": pfl.Checkpoints(folder, every=0)}
        keep(rounds=2, **saved)
        yield bits("saved and resumed", kept, keep(**saved), keep())
    yield from nonfinite(machine)
    jax.clear_caches()
    yield bits("compiled anew", start, plain, run(), is_promised=False)


def nonfinite(machine: Machine) -> Generator[Row]:
    """One client of NaN: dropped, or named."""
    people = scaling.population(12, 6, 0.0)
    bad = 3
    people.arrays["x"][people.offsets[bad] : people.offsets[bad + 1]] = np.nan
    algorithm = pfl.algorithms.fedavg(pfl.models.mlp(people, ()), optax.sgd(0.1), epochs=1, batch=10)
    start = beginning(algorithm, people, machine.host)
    here, there = (trained(algorithm, people, mesh, cohort=12) for mesh in (machine.device, machine.host))
    off = apart(start, there, here)
    yield Row("a client of NaN is dropped", f"{off:.1e} of the way from the CPU's", off <= TOLERANCE, {"off": off})
    try:
        trained(algorithm, people, machine.device, cohort=12, on_nonfinite="stop")
    except pfl.Diverged as error:
        yield Row("a client of NaN is named", str(error.client_ids), error.client_ids == (people.ids[bad],))
    else:
        yield Row("a client of NaN is named", "the run went on", False)


def precision(machine: Machine) -> Generator[Row]:
    """What the accelerator's own default for products of float32 changes."""
    people = gate.people(is_ragged=True)
    for name in ("fedavg", "per_fedavg"):
        algorithm = algorithm_of(name, people)
        start, full = beginning(algorithm, people, machine.device), trained(algorithm, people, machine.device)
        off = apart(start, full, trained(algorithm, people, machine.device, None))
        yield Row(f"{name}, default products", f"{off:.1e} of the way from full ones", None, {"off": off})
