"""Several processes compute what one does: the same bits where sums are ordered, however devices are spread."""

import json
import shutil

import pytest

from tests.support.processes import kept_programs, launched

pytestmark = pytest.mark.slow

ALONE, SAVES = (1, 1), (2, 2)  # processes, devices of each
OTHERS = [ALONE, (1, 4), (4, 1)]

# Runs all that is asked for, and prints a digest of everything that each run leaves, from every process.
PROGRAM = """
import hashlib, json, os
import jax, numpy as np
import pfljax as pfl
from pfljax.engine.devices import on_host
from tests.support.zoo import ALGORITHMS, people, tiny_model

if int(os.environ["JAX_NUM_PROCESSES"]) > 1:
    pfl.use_processes()

population = people()

def digest(name, **arguments):
    if "folder" in arguments:
        arguments["checkpoints"] = pfl.Checkpoints(arguments.pop("folder"), every=0)
    result = pfl.simulate(ALGORITHMS[name](tiny_model(population)), population, **arguments)
    clients = jax.tree.map(lambda leaf: leaf[: population.num_clients], on_host(result.clients))
    figures = pfl.evaluate(result, population, marks=(0, 2))
    own = result.personal(population.ids[3], 2).vars.params
    numbers = jax.tree.leaves((on_host(result.server), clients, on_host(own), [e.test() for e in figures.entries]))
    losses = [record["loss"] for record in result.records if "loss" in record]
    looks = [record["validation_loss"] for record in result.records if "validation_loss" in record]
    bits = b"".join(np.ascontiguousarray(leaf).tobytes() for leaf in numbers)
    return [hashlib.sha256(bits).hexdigest(), losses, looks]

left = {{what: digest(**arguments) for what, arguments in {asked!r}.items()}}
print("LEFT", json.dumps([left, len(jax.devices()), jax.process_count()]), flush=True)
"""
COMMON = {"cohort": 6, "rounds": 4, "seed": 2, "width": 1, "reduction": "ordered"}
# SCAFFOLD moves a server, a control variate and kept state; the evaluation and one client's model come along.
RESIDENT = COMMON | {"name": "scaffold"}
ON_HOSTS = RESIDENT | {"state": "host", "block": 1}
RUNS = {"resident": RESIDENT, "streamed": RESIDENT | {"examples": "streamed"}, "on hosts": ON_HOSTS}
RUNS |= {"looked at": ON_HOSTS | {"eval_every": 1}}
MORE = {"individual uploads": COMMON | {"name": "fedfomo"}}  # on two layouts
DONE = 3  # rounds, when a run is saved


def ran(asked: dict[str, dict], layout: tuple[int, int], env: dict[str, str]) -> dict[str, list]:
    """What every process of a layout prints; all the same."""
    num_processes, num_devices = layout
    ended = launched(PROGRAM.format(asked=asked), num_processes, num_devices, timeout=300, env=env)
    assert [each.returncode for each in ended] == [0] * num_processes, [each.stderr[-2000:] for each in ended]
    lines = [next(line for line in each.stdout.splitlines() if line.startswith("LEFT ")) for each in ended]
    assert len(set(lines)) == 1
    left, devices, processes = json.loads(lines[0].removeprefix("LEFT "))
    assert (devices, processes) == (num_processes * num_devices, num_processes)
    return left


@pytest.fixture(scope="module")
def left(tmp_path_factory) -> dict[tuple[int, int], dict[str, list]]:
    """What the runs left on each layout. One is saved after a few rounds on 2 x 2, and goes on on the others."""
    env, saved = kept_programs(tmp_path_factory), tmp_path_factory.mktemp("saved")
    saves = ON_HOSTS | {"folder": str(saved)}  # of the hosts' rows, each process its own
    found = {SAVES: ran(RUNS | MORE | {"begun": saves | {"rounds": DONE}}, SAVES, env)}
    for layout in OTHERS:
        copy = shutil.copytree(saved, saved.with_name("x".join(map(str, layout))))
        more = MORE if layout == ALONE else {}
        found[layout] = ran(RUNS | more | {"gone on with": saves | {"folder": str(copy)}}, layout, env)
    return found


@pytest.mark.parametrize("what", RUNS | MORE)
def test_the_same_bits_on_every_layout(left, what):
    found = {layout: each[what] for layout, each in left.items() if what in each}
    assert found.keys() >= (left.keys() if what in RUNS else {ALONE, SAVES})
    assert all(each == found[ALONE] for each in found.values()), found


@pytest.mark.parametrize("layout", OTHERS)
def test_saved_on_two_by_two_goes_on_elsewhere(left, layout):
    assert len(left[SAVES]["begun"][1]) == DONE
    assert left[layout]["gone on with"] == left[ALONE]["resident"]


def test_whoever_keeps_it_and_whatever_was_looked_at_the_numbers_are_the_same(left):
    alone = left[ALONE]
    assert alone["resident"] == alone["streamed"] == alone["on hosts"]
    for each in left.values():
        assert each["looked at"] == alone["looked at"]
        assert len(each["looked at"][2]) == COMMON["rounds"]
