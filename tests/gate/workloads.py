"""Small workloads for the gate's tests: all rows at a time, because shuffling is most of a tiny program."""

import numpy as np
import optax

import pfljax as pfl
from pfljax import gate
from pfljax.engine.job import make_job
from pfljax.engine.ready import make_program
from pfljax.types import Algorithm
from tests.support.zoo import people, tiny_model

POPULATION = people(num_clients=12)
MODEL = tiny_model(POPULATION)
COHORT = 8


def fedavg(model=MODEL, **arguments) -> Algorithm:
    """FedAvg on all rows; a client takes one step for each four rows that it has, so steps are ragged."""
    made = pfl.algorithms.fedavg(model, optax.sgd(0.1), steps=1, batch=None, **arguments)
    ragged = lambda counts: np.asarray(counts) // 4 + 1
    return made._replace(steps=ragged, cost=ragged)


def workload(algorithm: Algorithm, width: int = 1) -> gate.Workload:
    return gate.workload(algorithm, POPULATION, cohort=COHORT, devices=2, width=width, examples="resident")


def program(algorithm: Algorithm, width: int = 1, population=POPULATION, devices: int = 2) -> pfl.engine.Program:
    """A program that is not compiled."""
    job = make_job(algorithm, population, cohort=COHORT, seeds=[0], devices=devices, examples="resident")
    return make_program(job, width, "as asked", 20)
