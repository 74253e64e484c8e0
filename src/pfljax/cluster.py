"""Several processes that run one program: how this one joins the others."""

import os
from collections.abc import Mapping
from typing import NamedTuple

import jax

from pfljax.errors import PflError, at_least

VARIABLES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
JOIN_SECONDS = 300  # for the others to come: machines of a cluster do not start at once
LATER = 3  # times the heartbeat: JAX's own, which ends a process without a word about who is missing


class Place(NamedTuple):
    """Who this process is among how many, and where process 0 listens."""

    address: str
    num_processes: int
    process: int


def use_processes(*, heartbeat: float = 30.0) -> int:
    """Joins the cluster that the environment describes and returns how many processes it has.

    Call it first thing: before `pfl.use_cores`, and before anything computes. The environment is either
    JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID, or what JAX detects by itself: SLURM, Open MPI,
    Kubernetes, Cloud TPU.
    """
    at_least("heartbeat", heartbeat, 1.0)
    place = described(os.environ)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.config.update("jax_enable_recoverability", True)
    given = (
        {}
        if place is None
        else {
            "coordinator_address": place.address,
            "num_processes": place.num_processes,
            "process_id": place.process,
            "cluster_detection_method": "deactivate",
        }
    )
    jax.distributed.initialize(
        **given,
        initialization_timeout=JOIN_SECONDS,
        heartbeat_timeout_seconds=round(LATER * heartbeat),
        shutdown_timeout_seconds=round(LATER * heartbeat),
    )
    return jax.process_count()


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
