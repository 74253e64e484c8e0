"""LEAF's JSON, written here in its layout: rows against plain loops, groups, and files that are damaged or wrong."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pfljax.data.embedded.text import OTHER
from pfljax.data.importers import CHARACTERS, ink, leaf
from tests.support.federated import assert_holds, expected, refusal

STEADY = settings(
    deadline=None, derandomize=True, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
sizes = st.dictionaries(st.sampled_from(["f0_1", "f2_3", "é", "THE_TRAGEDY_ROMEO", ""]), st.integers(2, 7), min_size=1)


def numbers(counts: dict[str, int], seed: int = 0) -> dict[str, dict[str, list]]:
    draw = np.random.default_rng(seed)
    return {
        client: {"x": draw.normal(size=(num, 3)).tolist(), "y": draw.integers(0, 5, num).tolist()}
        for client, num in counts.items()
    }


def written(path: Path, clients: dict, **others) -> Path:
    """One .json file; `others` replace or add keys."""
    sizes = [len(columns["y"]) if isinstance(columns, dict) and "y" in columns else 0 for columns in clients.values()]
    data = {"users": list(clients), "num_samples": sizes, "user_data": clients} | others
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({key: value for key, value in data.items() if value is not None}))
    return path


def arrays(clients: dict, x: type = np.float32, y: type = np.int32) -> dict:
    """Row by row, number by number."""
    return {
        client: {"x": np.array([list(map(x, row)) for row in columns["x"]]), "y": np.array(list(map(y, columns["y"])))}
        for client, columns in clients.items()
    }


# ---- rows ----


@STEADY
@given(sizes, st.none() | sizes, st.none() | st.integers(0, 3))
def test_rows_written_and_read_are_the_same(tmp_path, first, second, seed):
    train, test = numbers(first), None if second is None else numbers(second, 1)
    other = None if test is None else written(tmp_path / "test.json", test)
    population = leaf(written(tmp_path / "train.json", train), other, seed=seed, incomplete="cut")
    assert_holds(population, expected(arrays(train), None if test is None else arrays(test), seed=seed))
    labels = [label for side in (train, test or {}) for columns in side.values() for label in columns["y"]]
    assert population.about.num_classes == max(labels) + 1


def test_folders_of_several_files(tmp_path):
    """In the order of the files' names; other files are not read."""
    train, test = numbers({"c": 5, "a": 4, "b": 3}), numbers({"a": 2, "b": 1, "c": 1}, 1)
    written(tmp_path / "train" / "data_0.json", {"c": train["c"]})
    written(tmp_path / "train" / "data_1.json", {"a": train["a"], "b": train["b"]})
    (tmp_path / "train" / "README.txt").write_text("not read")
    written(tmp_path / "test" / "data_0.json", test)
    population = leaf(tmp_path / "train", tmp_path / "test", num_classes=9)
    assert_holds(population, expected(arrays(train), arrays(test)))
    about = population.about
    assert (about.name, about.task, about.num_classes) == ("leaf", "class by client", 9)
    assert about.source == "LEAF JSON: train, test"


def test_femnist_becomes_ink(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (5, 784))
    clients = {"f0": {"x": (grey / 255).tolist(), "y": [0, 61, 2, 3, 4]}}
    population = leaf(written(tmp_path / "a.json", clients), convert=ink, num_classes=62)
    rows = {"x": (255 - grey).astype(np.uint8).reshape(5, 28, 28), "y": np.array([0, 61, 2, 3, 4], np.int32)}
    assert_holds(population, expected({"f0": rows}, None))


def test_strings_become_symbols_in_order(tmp_path):
    """Windows over one text: they stay in the order of the file whatever the seed."""
    text = "To be, or not té be\n"
    train = {"romeo": {"x": [text[at : at + 6] for at in range(12)], "y": [text[at + 6] for at in range(12)]}}
    test = {"romeo": {"x": [text[-6:]], "y": ["T"]}}
    number = lambda char: np.uint8(CHARACTERS.index(char) + 2 if char in CHARACTERS else OTHER)
    for seed in (0, 1, None):
        population = leaf(written(tmp_path / "a.json", train), written(tmp_path / "b.json", test), seed=seed)
        assert_holds(population, expected(*(arrays(side, number, number) for side in (train, test)), seed=None))
        assert population.about.num_classes == len(CHARACTERS) + 2
    assert leaf(tmp_path / "a.json", characters="To").about.num_classes == 4


def test_floats_are_targets_unless_classes_are_stated(tmp_path):
    clients = numbers({"a": 3, "b": 3})
    clients["a"]["y"] = [0.0, 2.0, 1.0]
    path = written(tmp_path / "a.json", clients)
    assert_holds(leaf(path), expected(arrays(clients, y=np.float32), None))
    assert leaf(path).about.num_classes == 0
    assert_holds(leaf(path, num_classes=5), expected(arrays(clients), None))


def test_convert_sees_the_list(tmp_path):
    clients = {"a": {"x": [["0", "it is"], ["1", "so"], ["2", "x"]], "y": [0, 1, 1]}}
    population = leaf(
        written(tmp_path / "a.json", clients), convert=lambda rows: np.array([len(row[1]) for row in rows])
    )
    assert sorted(population.arrays["x"].tolist()) == [1, 2, 5]


def test_hierarchies_become_groups(tmp_path):
    train, test = numbers({"a": 3, "b": 3, "c": 3}), numbers({"a": 1, "b": 1, "c": 1})
    paths = (
        written(tmp_path / "a.json", train, hierarchies=["left", "right", "left"]),
        written(tmp_path / "b.json", test),
    )
    assert leaf(*paths).groups == ("left", "right", "left")
    assert leaf(paths[1], split=(1.0, 0.0, 0.0)).groups is None


def test_hierarchies_of_users_that_were_left_out_are_skipped(tmp_path):
    """LEAF's split drops small users from `users`, but keeps their hierarchies and empty lists of theirs."""
    clients = numbers({"a": 3, "b": 3}) | {"small": {"x": [], "y": []}} | numbers({"c": 3}, 1)
    path = written(
        tmp_path / "a.json", clients, users=["a", "b", "c"], num_samples=[3, 3, 3], hierarchies=["g", "h", "lost", "i"]
    )
    population = leaf(path)
    assert population.ids == ("a", "b", "c")
    assert population.groups == ("g", "h", "i")


# ---- refusals ----


@STEADY
@given(st.data())
def test_no_prefix_of_a_file_is_read(tmp_path, data):
    content = written(tmp_path / "whole.json", numbers({"a": 2, "é": 3}), hierarchies=["g", "h"]).read_bytes()
    path = tmp_path / "prefix.json"
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    assert refusal(leaf, path).startswith(f"{path}: expected a JSON file")


GOOD = numbers({"ada": 3, "bob": 3})


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (None, "expected lists x and y in user_data, got a NoneType"),
        ([1], "got a list"),
        ({}, "got an empty object"),
        ({"x": [[1.0] * 3]}, "expected lists x and y in user_data, got x"),
        ({"x": GOOD["bob"]["x"], "y": [0, 1]}, "as many x and y as num_samples says, 2, got 3 and 2"),
        ({"x": GOOD["bob"]["x"], "y": [0, 1, -1]}, "expected labels from 0 to 4, got -1 in row 2"),
        ({"x": GOOD["bob"]["x"], "y": [0, 1, 5]}, "got 5 in row 2; recode it, or raise num_classes"),
        ({"x": GOOD["bob"]["x"], "y": [0, 1, 0.5]}, "expected one whole number a row for a label, got float64[3]"),
        ({"x": GOOD["bob"]["x"], "y": [0, float("nan"), 1]}, "that a float32 holds, got nan in row 1"),
        ({"x": GOOD["bob"]["x"], "y": [0, 2**70, 1]}, "expected numbers, or strings of one length, got object data"),
        ({"x": GOOD["bob"]["x"], "y": [[0], [1], [2]]}, "got int64[3, 1]"),
        ({"x": GOOD["bob"]["x"], "y": [True, False, True]}, "got bool data"),
        ({"x": GOOD["bob"]["x"], "y": [None, 1, 2]}, "got object data"),
        ({"x": [[1.0] * 3, [1.0] * 2, [1.0] * 3], "y": [0, 1, 2]}, "client 'bob', x: expected lists of one length"),
        ({"x": [[1.0] * 2] * 3, "y": [0, 1, 2]}, "x: float32[3], y: int32[], got x: float32[2]"),
        ({"x": [[1.0, 2.0, float("inf")]] * 3, "y": [0, 1, 2]}, "client 'bob', x: expected finite numbers"),
        ({"x": [[1.0, 2.0, 1e300]] * 3, "y": [0, 1, 2]}, "client 'bob', x: expected finite numbers that a float32"),
        ({"x": ["abc", "ab", "abc"], "y": [0, 1, 2]}, "expected strings of one length, got lengths [2, 3]"),
        ({"x": [["a"], ["b"], ["c"]], "y": [0, 1, 2]}, "use convert"),
    ],
)
def test_a_bad_client_is_refused_with_its_file(tmp_path, columns, words):
    path = written(tmp_path / "bad.json", {"ada": GOOD["ada"], "bob": columns})
    message = refusal(leaf, path, num_classes=5)
    assert message.startswith(f"{path}, client 'bob'")
    assert words in message


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ({"users": None}, "expected an object with users, num_samples, user_data, got none called 'users'"),
        ({"user_data": None}, "got none called 'user_data'"),
        ({"user_data": []}, "expected an object of clients in user_data, got a list"),
        ({"users": "ada"}, "expected a list in 'users', got a str"),
        ({"users": []}, "expected a number in num_samples for each of 0 users, got 2"),
        ({"users": [], "num_samples": []}, "expected at least one client in users, got none"),
        ({"num_samples": [3]}, "expected a number in num_samples for each of 2 users, got 1"),
        ({"num_samples": [3, 4]}, "client 'bob': expected as many x and y as num_samples says, 4"),
        ({"users": ["ada", "ada"]}, "client 'ada': expected every client once"),
        ({"users": ["ada", 7]}, "users: expected text, got 7, a int; write it as text"),
        ({"users": ["ada", "\ud800"]}, "users: expected text in UTF-8"),
        ({"users": ["ada", "eve"]}, "client 'eve': expected lists x and y in user_data, got a NoneType"),
        ({"hierarchies": ["g"]}, "expected a group in hierarchies for each of 2 users, got 1"),
        ({"hierarchies": ["g", 3]}, "hierarchies: expected text, got 3"),
        ({"hierarchies": "gg"}, "expected a list in 'hierarchies'"),
    ],
)
def test_a_bad_file_is_refused(tmp_path, others, words):
    path = written(tmp_path / "bad.json", GOOD)
    data = json.loads(path.read_text()) | others
    path.write_text(json.dumps({key: value for key, value in data.items() if value is not None}))
    message = refusal(leaf, path)
    assert message.startswith(str(path))
    assert words in message


@pytest.mark.parametrize("content", [b"[1]", b"3", b"\xff{}", b"{} x", b"[" * 100_000, b"\0"])
def test_what_is_no_object_is_refused(tmp_path, content):
    (tmp_path / "bad.json").write_bytes(content)
    assert refusal(leaf, tmp_path / "bad.json").startswith(str(tmp_path / "bad.json"))


def test_what_is_no_file_is_refused(tmp_path):
    assert "expected a JSON file" in refusal(leaf, tmp_path / "none.json")
    assert "expected .json files, got a folder without any" in refusal(leaf, tmp_path)


def test_a_client_in_two_files_is_refused(tmp_path):
    for name in ("a", "b"):
        written(tmp_path / f"{name}.json", GOOD)
    message = refusal(leaf, tmp_path)
    assert "b.json, client 'ada': expected every client once, got it in" in message
    assert "a.json as well" in message


def test_clients_and_groups_must_agree_between_train_and_test(tmp_path):
    train = written(tmp_path / "a.json", GOOD, hierarchies=["g", "h"])
    test = written(tmp_path / "b.json", GOOD, hierarchies=["g", "other"])
    message = refusal(leaf, train, test)
    assert message.startswith(f"{test}, client 'bob': expected the group of {train}, 'h', got 'other'")
    test = written(tmp_path / "b.json", {"ada": GOOD["ada"]})
    assert "client 'bob': expected rows in both files" in refusal(leaf, train, test)


def test_converted_rows_must_be_as_many(tmp_path):
    path = written(tmp_path / "a.json", GOOD)
    assert "expected 3 rows in 'x', got shape [1, 3]" in refusal(leaf, path, convert=lambda rows: np.ones((1, 3)))
    message = refusal(leaf, path, convert=ink)
    assert message.startswith(f"{path}, client 'ada', pixels: expected numbers [example, 28, 28]")


def test_text_and_numbers_do_not_mix(tmp_path):
    clients = GOOD | {"eve": {"x": [[1.0] * 3] * 2, "y": ["a", "b"]}}
    message = refusal(leaf, written(tmp_path / "a.json", clients))
    assert "client 'ada': expected one character for each y, as for other clients, got int64[3]" in message
    assert "num_classes: expected a whole number of at least 2" in refusal(leaf, tmp_path, num_classes=1)
