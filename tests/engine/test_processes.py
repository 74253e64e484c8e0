"""Several processes compute what one does: the same bits where sums are ordered, however devices are spread."""

import json

import pytest

from tests.support.processes import launched

pytestmark = pytest.mark.slow

LAYOUTS = [(1, 1), (1, 4), (2, 2), (4, 1)]  # processes, devices of each

# Prints a digest of everything that a run leaves, from every process.
PROGRAM = """
import hashlib, json, os
import jax, numpy as np
import pfljax as pfl
from pfljax.engine.devices import on_host
from tests.support.zoo import ALGORITHMS, people, tiny_model

if int(os.environ["JAX_NUM_PROCESSES"]) > 1:
    pfl.use_processes()
population = people()
algorithm = ALGORITHMS[{name!r}](tiny_model(population))
arguments = {arguments!r}
if "folder" in arguments:
    arguments["checkpoints"] = pfl.Checkpoints(arguments.pop("folder"), every=0)
result = pfl.simulate(algorithm, population, **arguments)
clients = jax.tree.map(lambda leaf: leaf[: population.num_clients], on_host(result.clients))
figures = pfl.evaluate(result, population, marks=(0, 2))
own = result.personal(population.ids[3], 2).vars.params
numbers = jax.tree.leaves((on_host(result.server), clients, on_host(own), [e.test() for e in figures.entries]))
digest = hashlib.sha256(b"".join(np.ascontiguousarray(leaf).tobytes() for leaf in numbers)).hexdigest()
losses = [record["loss"] for record in result.records if "loss" in record]
print("LEFT", json.dumps([digest, losses, len(jax.devices()), jax.process_count()]), flush=True)
"""


def left(name: str, num_processes: int, num_devices: int, **arguments) -> list:
    """[digest, losses] that every process of a run prints; all the same."""
    arguments = {"cohort": 6, "rounds": 4, "seed": 2, "width": 1, "reduction": "ordered"} | arguments
    ended = launched(PROGRAM.format(name=name, arguments=arguments), num_processes, num_devices, timeout=240)
    assert [each.returncode for each in ended] == [0] * num_processes, [each.stderr[-2000:] for each in ended]
    lines = [next(line for line in each.stdout.splitlines() if line.startswith("LEFT ")) for each in ended]
    assert len(set(lines)) == 1
    digest, losses, devices, processes = json.loads(lines[0].removeprefix("LEFT "))
    assert (devices, processes) == (num_processes * num_devices, num_processes)
    return [digest, losses]


@pytest.mark.parametrize("arguments", [{}, {"examples": "streamed"}], ids=["resident", "streamed"])
def test_the_same_bits_on_every_layout(arguments):
    """SCAFFOLD moves a server, a control variate and kept state; the evaluation and one client's model come along."""
    found = {layout: left("scaffold", *layout, **arguments) for layout in LAYOUTS}
    assert all(each == found[1, 1] for each in found.values()), found


def test_individual_uploads_reach_every_process():
    assert left("fedfomo", 2, 2) == left("fedfomo", 1, 1)


def test_saved_on_two_by_two_goes_on_elsewhere(tmp_path):
    whole = left("scaffold", 1, 1, rounds=6)
    for layout in [(1, 1), (1, 4), (4, 1)]:
        folder = str(tmp_path / "x".join(map(str, layout)))
        saves = lambda rounds, folder=folder: {"rounds": rounds, "block": 1, "folder": folder}
        left("scaffold", 2, 2, **saves(3))
        assert left("scaffold", *layout, **saves(6)) == whole


def test_state_on_the_host_is_refused_in_several_processes():
    program = PROGRAM.format(name="scaffold", arguments={"cohort": 4, "rounds": 1, "state": "host"})
    for each in launched(program, 2, 1):
        assert each.returncode == 1
        assert "state: expected it to be kept on the devices of 2 processes" in each.stderr
