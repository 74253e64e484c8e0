"""`simulate`: the last block's result, and validation figures on the way."""

import numpy as np
import pytest

import pfljax as pfl
from pfljax.evaluate import curve, shared
from tests.support.zoo import ALGORITHMS, people, tiny_model

ARGUMENTS = {"cohort": 4, "seed": 0, "devices": 2}


@pytest.fixture(scope="module")
def population():
    return people()


@pytest.fixture(scope="module")
def algorithm(population):
    return ALGORITHMS["fedavg"](tiny_model(population))


def test_eval_every_looks_at_validation_rows_of_seen_clients(population, algorithm):
    plain = pfl.simulate(algorithm, population, rounds=5, **ARGUMENTS)
    looked = pfl.simulate(algorithm, population, rounds=5, eval_every=2, **ARGUMENTS)
    assert [r["loss"] for r in plain.records] == [r["loss"] for r in looked.records]
    have = [record["round"] for record in looked.records if "validation_accuracy" in record]
    assert have == [1, 3]
    four = pfl.simulate(algorithm, population, rounds=4, **ARGUMENTS)
    expected = np.nanmean(curve(shared(four), population, (0,)).at(0, "validation")[four.seen])
    assert looked.records[3]["validation_accuracy"] == pytest.approx(float(expected))


@pytest.mark.parametrize("eval_every", [0, -1, 2.5])
def test_bad_eval_every(population, algorithm, eval_every):
    with pytest.raises(pfl.PflError, match="eval_every: expected a whole number"):
        pfl.simulate(algorithm, population, rounds=5, eval_every=eval_every, **ARGUMENTS)
