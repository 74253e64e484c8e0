"""The table of all algorithms is read off the code, and every one is in it."""

import statistics

import pytest

import pfljax as pfl
from pfljax.cli import main
from pfljax.run import catalog
from tests.support.zoo import batch_norm_model, people, tiny_model


@pytest.fixture(scope="module")
def entries():
    population = people()
    return catalog.catalog(tiny_model(population), population)


def test_every_algorithm_is_there(entries):
    assert [entry.name for entry in entries] == pfl.algorithms.__all__
    assert all(entry.paper and entry.file.startswith("pfljax/algorithms/") for entry in entries)
    assert [entry.name for entry in entries if entry.traffic is None] == ["fedbn"]


def test_papers_come_without_their_titles(entries):
    papers = {entry.name: entry.paper for entry in entries}
    assert papers["reptile"] == "Reptile. Nichol, Achiam, Schulman, 2018, Algorithm 2 (batched)."


def test_a_method_that_the_model_does_not_suit_says_why(entries):
    (fedbn,) = [entry for entry in entries if entry.name == "fedbn"]
    assert fedbn.why.startswith("pattern '*norm*': expected it to match a parameter, got none of")
    population = people()
    assert pfl.engine.traffic.traffic(catalog.made("fedbn", batch_norm_model(population)), population).kept > 0


def test_algorithms_are_short(entries):
    """The median file is below 40 lines of code; none is long."""
    lines = {entry.file: entry.lines for entry in entries}
    assert statistics.median(lines.values()) < 40
    assert max(lines.values()) < 100, lines


def test_lines_of_code():
    source = '"""Doc.\n\nMore."""\n\nimport os\n\n\ndef f():\n    """One."""\n    # why\n    return os.sep  # what\n'
    assert catalog.code_lines(source) == 2


@pytest.mark.slow
def test_the_command_prints_them(capsys):
    assert main(["list", "algorithms"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in pfl.algorithms.__all__)
    assert "sums per slot" in printed
    assert main(["list", "everything"]) == 2
