"""The small population and model that most of these tests train."""

import pytest

from tests.support.zoo import people, tiny_model


@pytest.fixture(scope="module")
def population():
    return people()


@pytest.fixture(scope="module")
def model(population):
    return tiny_model(population)
