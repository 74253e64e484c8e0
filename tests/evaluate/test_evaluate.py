"""Per-client figures against a plain loop; choices on validation only; baselines and controls."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import pfljax as pfl
from pfljax.evaluate import Curve, Entry, Evaluation, alone, constant, curve, donors, shared
from tests.support.zoo import ALGORITHMS, people, tiny_model

ARGUMENTS = {"cohort": 4, "rounds": 3, "seed": 0, "devices": 2}


@pytest.fixture(scope="module")
def population():
    return people()


@pytest.fixture(scope="module")
def model(population):
    return tiny_model(population)


@pytest.fixture(scope="module")
def finetuned(population, model):
    algorithm = pfl.algorithms.fedavg_finetune(
        model, optax.sgd(0.1), personal_opt=optax.sgd(0.2), personal_batch=None, steps=2
    )
    return pfl.simulate(algorithm, population, **ARGUMENTS)


def accuracy(model, vars, rows) -> float:
    batch = {name: jnp.asarray(array) for name, array in rows.items()} | {"mask": jnp.ones(len(rows["y"]), bool)}
    logits, _ = model.apply(vars, batch, jax.random.key(0), False)
    return float((np.argmax(np.asarray(logits), axis=1) == rows["y"]).mean())


def test_the_shared_model_per_client(population, model, finetuned):
    """One number a client, equal to a plain forward pass over its rows."""
    found = curve(shared(finetuned), population, (0,))
    for split in ("validation", "test"):
        for row, name in enumerate(population.ids):
            rows = population.client(name, split)
            expected = accuracy(model, finetuned.vars, rows) if len(rows["y"]) else np.nan
            assert found.at(0, split)[row] == pytest.approx(expected, abs=1e-6, nan_ok=True)


def test_adaptation_is_full_batch_descent(population, model, finetuned):
    """The curve at 0, 1 and 3 steps equals gradient descent written out for each client."""
    found = curve(finetuned, population, (0, 1, 3))

    def loss(params, rows):
        batch = {k: jnp.asarray(v) for k, v in rows.items()} | {"mask": jnp.ones(len(rows["y"]), bool)}
        outputs, _ = model.apply(finetuned.vars._replace(params=params), batch, jax.random.key(0), True)
        return model.loss(outputs, batch).value.mean()

    gradient = jax.jit(jax.grad(loss))
    for row, name in enumerate(population.ids):
        params, train = finetuned.vars.params, population.client(name, "train")
        for step in range(4):
            if step in found.marks:
                vars = finetuned.vars._replace(params=params)
                expected = accuracy(model, vars, population.client(name, "test"))
                assert found.at(found.marks.index(step))[row] == pytest.approx(expected, abs=1e-6)
            params = jax.tree.map(lambda w, g: w - 0.2 * g, params, gradient(params, train))


def test_evaluation_does_not_depend_on_the_layout(population, model):
    algorithm = ALGORITHMS["ditto"](model)
    runs = [pfl.simulate(algorithm, population, **ARGUMENTS | {"devices": d, "width": w}) for d, w in ((1, 1), (8, 3))]
    one, other = (curve(run, population, (0, 2)) for run in runs)
    np.testing.assert_allclose(one.values["test"]["loss"], other.values["test"]["loss"], rtol=1e-4, atol=1e-5)


def test_ditto_starts_from_its_own_model(population, model):
    """Seen clients that took part start from v, the others from the shared model."""
    result = pfl.simulate(ALGORITHMS["ditto"](model), population, **ARGUMENTS)
    own, common = curve(result, population, (0,)), curve(shared(result), population, (0,))
    visited = np.asarray(result.clients.visited)[: population.num_clients]
    losses = (own.at(0, metric="loss"), common.at(0, metric="loss"))
    np.testing.assert_array_equal(losses[0][~visited], losses[1][~visited])
    assert (losses[0][visited] != losses[1][visited]).all()


def test_local_only_knows_nobody_else(population, model, finetuned):
    """Changing all other clients' data leaves a client's local-only figures as they are."""
    opt = optax.sgd(0.2)
    before = curve(alone(finetuned, opt, 4), population, (0, 5))
    x = population.arrays["x"].copy()
    x[population.offsets[1] :] += 1
    changed = pfl.data.Population(
        {**population.arrays, "x": x}, population.offsets, population.bounds, population.ids, about=population.about
    )
    again = curve(alone(finetuned, opt, 4), changed, (0, 5))
    np.testing.assert_array_equal(before.values["test"]["loss"][:, 0], again.values["test"]["loss"][:, 0])
    assert (before.values["test"]["loss"][:, 1:] != again.values["test"]["loss"][:, 1:]).all()


def test_constant_predicts_the_seen_majority(population, finetuned):
    starts, counts = population.span("train")
    rows = np.concatenate([np.arange(starts[c], starts[c] + counts[c]) for c in np.flatnonzero(finetuned.seen)])
    majority = np.bincount(population.arrays["y"][rows]).argmax()
    found = curve(constant(finetuned, population), population, (0,)).at(0)
    expected = [(population.client(name, "test")["y"] == majority).mean() for name in population.ids]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_donors_are_seen_clients_of_other_groups(population, model):
    groups = tuple(f"person{index // 2}" for index in range(population.num_clients))
    paired = pfl.data.Population(
        population.arrays, population.offsets, population.bounds, population.ids, groups, population.about
    )
    result = pfl.simulate(ALGORITHMS["fedavg"](model), paired, **ARGUMENTS | {"rounds": 1})
    chosen = donors(result)
    assert all(groups[donor] != groups[client] for client, donor in enumerate(chosen))
    assert result.seen[chosen].all()


def test_a_donor_teaches_from_its_own_state(population, model):
    """Ditto keeps a model per client: after no step, the donor's pupil has the donor's model."""
    result = pfl.simulate(ALGORITHMS["ditto"](model), population, **ARGUMENTS)
    teachers = np.roll(np.arange(population.num_clients), 1)
    pupils = curve(result, population, (0,), teachers=teachers).at(0, metric="loss")
    for row in (0, 3):
        vars = result.personal(population.ids[teachers[row]]).vars
        rows = population.client(population.ids[row], "test")
        batch = {k: jnp.asarray(v) for k, v in rows.items()} | {"mask": jnp.ones(len(rows["y"]), bool)}
        outputs, _ = model.apply(vars, batch, jax.random.key(0), False)
        assert pupils[row] == pytest.approx(float(model.loss(outputs, batch).value.mean()), rel=1e-5)


def test_a_model_that_diverges_is_hurt_and_never_chosen(population, model):
    """Not absent, and not the share of class 0, which is what the argmax of NaN would give."""
    algorithm = pfl.algorithms.fedavg_finetune(model, personal_opt=optax.sgd(1e30), steps=1)
    result = pfl.simulate(algorithm, population, **ARGUMENTS | {"rounds": 1})
    made = curve(result, population, (0, 5))
    assert np.isneginf(made.at(1)).any()
    assert np.isposinf(made.at(1, metric="loss")).any()
    assert made.choose(result.seen) == 0
    forced = Entry("broken", made, np.ones(population.num_clients, int))
    base = Entry("shared", made, np.zeros(population.num_clients, int))
    evaluation = Evaluation((base, forced), "shared", population.ids, result.seen, population.sizes("test"))
    assert evaluation.hurt("broken")[np.isneginf(made.at(1))].all()
    assert evaluation.figures("broken", True)["worst"] == -np.inf


def test_steps_cannot_be_chosen_without_validation_rows(model):
    clients = {f"c{i}": {"x": np.ones((4, 3), np.float32), "y": np.arange(4, dtype=np.int32)} for i in range(4)}
    population = pfl.data.Population.from_clients(clients, (0.5, 0, 0.5), about=pfl.data.About(num_classes=4))
    result = pfl.simulate(ALGORITHMS["fedavg_finetune"](model), population, cohort=2, rounds=1, devices=1)
    with pytest.raises(pfl.PflError, match="expected validation rows"):
        pfl.evaluate(result, population, (0, 1))
    assert curve(result, population, (1,)).choose(result.seen) == 0


def test_one_number_of_steps_for_all_unless_clients_keep_state(population, model, finetuned):
    """Unseen clients of a stateful method start fresh: theirs is chosen on their own validation rows."""
    kept = pfl.simulate(ALGORITHMS["ditto"](model), population, **ARGUMENTS | {"rounds": 1})
    seen = kept.seen
    validation = np.where(seen, [[0.1], [0.9]], [[0.9], [0.1]])
    made = made_up(validation, [np.arange(10.0), np.arange(10.0) + 100])
    np.testing.assert_array_equal(Entry.chosen("own", made, kept).steps, seen)
    np.testing.assert_array_equal(Entry.chosen("own", made, kept).test(), np.arange(10.0) + 100 * seen)
    assert Entry.chosen("own", made, finetuned).steps.all()


def made_up(validation, test, better="higher", marks=(0, 1)):
    values = {"validation": {"m": np.array(validation)}, "test": {"m": np.array(test)}}
    return Curve("made up", marks, values, {"m": better})


def test_the_number_of_steps_is_chosen_on_seen_validation():
    """Not on test figures, not on unseen clients; an absent validation part counts for nothing."""
    seen = np.array([True, True, False])
    test = [[0.9, 0.9, 0.9], [0.1, 0.1, 0.1]]
    assert made_up([[0.1, 0.2, 0.9], [0.3, 0.3, 0.0]], test).choose(seen) == 1
    assert made_up([[0.1, 0.2, 0.9], [0.3, np.nan, 0.0]], test).choose(seen) == 1
    assert made_up([[0.1, 0.2, 0.9], [0.3, 0.3, 0.0]], test, better="lower").choose(seen) == 0


def test_summary_by_hand():
    base = Entry("shared", made_up([[0] * 4], [[0.5, 0.5, 0.5, 0.2]], marks=(0,)), np.zeros(4, int))
    own = Entry("own", made_up([[0] * 4], [[0.4, 0.6, 0.8, 0.9]], marks=(7,)), np.zeros(4, int))
    seen = np.array([True, True, True, False])
    made = Evaluation((base, own), "shared", tuple("abcd"), seen, np.array([1, 1, 2, 5]))
    figures = made.figures("own", True)
    assert figures["mean"] == pytest.approx(0.6)
    assert figures["weighted_mean"] == pytest.approx(0.65)
    assert figures["std"] == pytest.approx(np.std([0.4, 0.6, 0.8]))
    assert figures["p10"] == pytest.approx(0.44)
    assert figures["worst"] == pytest.approx(0.4)
    assert figures["hurt"] == pytest.approx(1 / 3)
    assert made.figures("own", False)["hurt"] == 0
    assert [(row["model"], row["clients"], row["steps"]) for row in made.rows()] == [
        ("shared", "seen", 0), ("shared", "unseen", 0), ("own", "seen", 7), ("own", "unseen", 7),
    ]  # fmt: skip
    assert "own" in made.summary()
    assert "hurt" in made.summary()


def test_evaluate_whole(population, finetuned):
    """All entries on all clients, and a second evaluation compiles only the local baseline anew."""
    made = pfl.evaluate(finetuned, population, (0, 1, 3))
    assert [entry.name for entry in made.entries] == ["constant", "local only", "shared", "personalized", "donor"]
    assert {row["clients"] for row in made.rows()} == {"seen", "unseen"}
    np.testing.assert_array_equal(made.entry("donor").steps, made.entry("personalized").steps)
    np.testing.assert_array_equal(made.entry("personalized").curve.at(0), made.entry("shared").test())


@pytest.mark.parametrize("marks", [(), (1, 0), (0, 0), (-1, 2)])
def test_bad_marks(population, finetuned, marks):
    with pytest.raises(pfl.PflError, match="marks: expected increasing"):
        curve(finetuned, population, marks)


def test_another_population_is_refused(population, finetuned):
    with pytest.raises(pfl.PflError, match="population: expected the 10 clients"):
        curve(finetuned, population.take([1, 2]), (0,))
