"""The sentence under the table says what the numbers say."""

import io

import numpy as np
import pytest
from rich.console import Console

from pfljax.evaluate import Curve, Entry, Evaluation
from pfljax.run.report import gains, sign_flip_chance, table, verdict

SEEN = np.arange(30) < 10


def evaluation(seen=SEEN, better="higher", **figures) -> Evaluation:
    def entry(name, test):
        test = np.broadcast_to(np.asarray(test, float), (1, 30))
        return Entry(name, Curve(name, (0,), {"test": {"accuracy": test}}, {"accuracy": better}), np.zeros(30, int))

    names = {"shared": "FedAvg shared", "tuned": "FedAvg fine-tuned", "mine": "MAML personalized"}
    entries = tuple(entry(names[name], test) for name, test in figures.items())
    return Evaluation(entries, "FedAvg shared", tuple(map(str, range(30))), seen, np.ones(30))


def test_names_the_unseen_means_and_who_is_worse_off():
    mine = np.where(np.arange(30) < 12, 0.2, 0.5)  # 2 of the 20 unseen clients lose
    said = verdict(evaluation(shared=0.3, tuned=0.5, mine=mine), "MAML personalized")
    assert said.startswith(
        "On unseen clients, MAML personalized reaches a mean test accuracy of 0.470 against 0.300 for FedAvg shared "
        "(p10 0.470 against 0.300) and leaves 10.0% of clients worse off; "
    )
    assert said.count(".") > 3
    assert "\n" not in said


def test_of_a_loss_the_worse_tail_is_the_upper_one():
    mine = np.linspace(0, 1, 30)
    said = verdict(evaluation(better="lower", shared=2.0, tuned=0.5, mine=mine), "MAML personalized")
    assert f"(p90 {np.percentile(mine[10:], 90):.3f} against 2.000)" in said


@pytest.mark.parametrize(
    ("shift", "said"), [(0.05, "that is better than"), (-0.05, "that is worse than"), (0.0, "no difference from")]
)
def test_compares_with_fine_tuning(shift, said):
    noise = np.random.default_rng(0).normal(0, 0.01, 30)
    found = verdict(evaluation(shared=0.3, tuned=0.5, mine=0.5 + shift + noise * (shift != 0)), "MAML personalized")
    assert f"{said} FedAvg fine-tuned" in found
    assert "one seed" in found


def test_fine_tuning_is_not_compared_with_itself():
    said = verdict(evaluation(shared=0.3, tuned=0.5), "FedAvg fine-tuned")
    assert said.endswith("leaves 0.0% of clients worse off.")


def test_without_unseen_clients_it_speaks_of_the_seen():
    everybody = np.ones(30, bool)
    assert verdict(evaluation(everybody, shared=0.3, tuned=0.5, mine=0.4), "MAML personalized").startswith("On seen")


def test_gains_know_the_good_end():
    made = evaluation(better="lower", shared=0.3, mine=0.1)
    np.testing.assert_allclose(gains(made, "MAML personalized", "FedAvg shared"), 0.2)


def test_four_clients_prove_nothing():
    assert sign_flip_chance(np.array([0.1, 0.2, 0.1, 0.3])) == pytest.approx(2 / 2**4, abs=0.02)
    assert sign_flip_chance(np.full(30, 0.1)) < 0.001
    assert sign_flip_chance(np.zeros(5)) == 1


def test_table_has_every_row():
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(table(evaluation(shared=0.3, tuned=0.5, mine=0.4)))
    text = console.export_text()
    assert text.count("unseen") == 3
    assert "hurt: worse than FedAvg shared" in text
