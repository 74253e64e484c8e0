"""Several processes that run one program: how this one joins the others, and that they run the same."""

import atexit
import ctypes
import json
import math
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax

from pfljax.errors import PflError, at_least
from pfljax.lastwords import on_abort, say
from pfljax.watch import LOST, Watch, cluster

VARIABLES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
JOIN_SECONDS = 300  # for the others to come: machines of a cluster do not start at once
COMPARE_SECONDS = 3600  # for the others to have read their data
LATER = 3  # times the heartbeat: JAX's own, which ends a process without a word about who is missing
SHUTDOWN_SECONDS = 300  # that processes wait for each other at the end; pfljax.watch speaks before
FIELDS = "pfljax/same/"
MOST_SHOWN = 5  # differences in a message


class Place(NamedTuple):
    """Who this process is among how many, and where process 0 listens."""

    address: str
    num_processes: int
    process: int


def use_processes(*, heartbeat: float = 30.0) -> int:
    """Joins the cluster that the environment describes and returns how many processes it has.

    Call it before anything computes; `pfl.use_cores` may come before or after. The environment has either
    JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID, or what JAX detects by itself: SLURM, Open MPI,
    Kubernetes, Cloud TPU.

    heartbeat: seconds after which a process that is not heard of counts as lost. All others then end with exit code 3
    and a message that names it; they end within seconds if it died rather than hung, or ended by an error or by
    `sys.exit` with a code that is not 0.

    Raises PflError if nothing is detected, for variables that make no sense, or if JAX is already up.
    """
    at_least("heartbeat", heartbeat, 1.0)
    if jax.distributed.is_initialized():
        raise PflError("processes: expected use_processes to be called once, got a second call; leave it out")
    place = described(os.environ)
    given: dict[str, Any] = {}
    if place is not None:
        _check_port(place)
        given = {"coordinator_address": place.address, "num_processes": place.num_processes}
        given |= {"process_id": place.process, "cluster_detection_method": "deactivate"}
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    late = ctypes.CFUNCTYPE(None, ctypes.c_int)(lambda number: _late(place))
    on_abort(late)  # where others do not come, JAX aborts
    try:
        jax.distributed.initialize(
            **given,
            initialization_timeout=JOIN_SECONDS,
            heartbeat_timeout_seconds=math.ceil(LATER * heartbeat),
            shutdown_timeout_seconds=SHUTDOWN_SECONDS,
        )
    except (RuntimeError, ValueError) as error:
        raise PflError(_refusal(error, place)) from error
    finally:
        on_abort(None)
    joined = cluster()
    if joined is None:
        return 1
    watch = Watch(joined, heartbeat)
    watch.start()
    atexit.register(watch.leave)
    return joined.num_processes


def described(environ: Mapping[str, str]) -> Place | None:
    """What the three variables of an environment say; None if there is none of them.

    Raises PflError if some are missing, or if they make no sense.
    """
    given = [name for name in VARIABLES if environ.get(name)]
    if not given:
        return None
    if len(given) < len(VARIABLES):
        missing = ", ".join(name for name in VARIABLES if name not in given)
        raise PflError(
            f"processes: expected {', '.join(VARIABLES)} in the environment, got {', '.join(given)} only; "
            f"set {missing} too, or none of them on clusters that JAX detects"
        )
    address = environ[VARIABLES[0]]
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise PflError(f"{VARIABLES[0]}: expected host:port of process 0, got {address!r}; e.g. 10.0.0.1:8476")
    num_processes = _number(environ, VARIABLES[1], 1)
    process = _number(environ, VARIABLES[2], 0)
    if process >= num_processes:
        raise PflError(
            f"{VARIABLES[2]}: expected a number below the {num_processes} of {VARIABLES[1]}, got {process}; "
            "they count from 0"
        )
    return Place(address, num_processes, process)


def _number(environ: Mapping[str, str], name: str, least: int) -> int:
    word = environ[name]
    if not word.isdecimal() or int(word) < least:
        raise PflError(f"{name}: expected a whole number of at least {least}, got {word!r}")
    return int(word)


def same_everywhere(fields: Mapping[str, str]) -> None:
    """Compares what the processes are about to run: options, versions, data, each as a name and a text.

    Raises PflError on all processes if one differs from process 0, with the names. Waits for all of them; every process
    has to call it equally often. Does nothing in a program of one process.
    """
    joined = cluster()
    if joined is not None:
        compare(joined.client, joined.process_id, joined.num_processes, fields)


def compare(client: Any, process: int, num_processes: int, fields: Mapping[str, str]) -> None:
    """`same_everywhere` of process `process`, with a client of the coordination service."""
    call = client.key_value_increment(f"{FIELDS}calls/{process}", 1)
    client.key_value_set(f"{FIELDS}{call}/{process}", json.dumps([socket.gethostname(), dict(fields)]))
    told = [
        json.loads(client.blocking_key_value_get(f"{FIELDS}{call}/{each}", COMPARE_SECONDS * 1000))
        for each in range(num_processes)
    ]
    found = differences(told)
    if found:
        more = f" and {len(found) - MOST_SHOWN} more" if len(found) > MOST_SHOWN else ""
        raise PflError(
            f"processes: expected the same on all, {'; '.join(found[:MOST_SHOWN])}{more}; "
            "start all with the same words, code and data"
        )


def differences(told: Sequence[tuple[str, Mapping[str, str]]]) -> list[str]:
    """Where the fields of processes, each a host and its fields, are not those of process 0.

    >>> differences([("a", {"--seed": "1"}), ("b", {"--seed": "1"}), ("c", {"--seed": "2"})])
    ['got --seed 1 on process 0 (a) and 2 on process 2 (c)']
    """
    host, first = told[0]
    return [
        f"got {name} {first.get(name, 'nothing')} on process 0 ({host}) "
        f"and {fields.get(name, 'nothing')} on process {process} ({other})"
        for process, (other, fields) in enumerate(told)
        for name in dict.fromkeys([*first, *fields])
        if first.get(name) != fields.get(name)
    ]


def _check_port(place: Place) -> None:
    """Raises PflError if process 0 cannot listen, where JAX would crash."""
    if place.process != 0:
        return
    port = int(place.address.rpartition(":")[2])
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("", port))
    except OSError as error:
        raise PflError(
            f"{VARIABLES[0]}: expected a port that is free on process 0, got {place.address}: {error.strerror}; "
            "choose another"
        ) from error


def _late(place: Place | None) -> None:
    where = f"the {place.num_processes} processes to meet at {place.address}" if place else "all processes to meet"
    say(f"processes: expected {where} within {JOIN_SECONDS} s, got fewer", "the logs of those that are missing")
    os._exit(LOST)


def _refusal(error: Exception, place: Place | None) -> str:
    """What JAX's refusal to join means."""
    if "before any JAX calls" in str(error):
        return (
            "processes: expected use_processes to be called before JAX computes anything, but its devices are already "
            "up; move the call to the top of the program"
        )
    if place is None and "be defined" in str(error):
        return (
            f"processes: expected SLURM, Open MPI, Kubernetes, a Cloud TPU or {', '.join(VARIABLES)}, got an "
            "environment with none of them; start the program with scripts/launch_local.py or set the three"
        )
    where = f" at {place.address}" if place else ""
    return f"processes: expected to join the others{where}, got {error}; see that all are started"
