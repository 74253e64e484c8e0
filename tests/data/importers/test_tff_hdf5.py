"""TFF's EMNIST and Shakespeare files, written here in their layout: rows against plain loops, and bad files."""

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pfljax import keys
from pfljax.data.embedded.text import BOUNDARY, OTHER
from pfljax.data.importers import CHARACTERS, ink, tff_emnist, tff_shakespeare
from pfljax.data.optional import need
from tests.support.federated import SPLITS, assert_holds, expected, refusal

STEADY = settings(
    deadline=None,
    derandomize=True,
    max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
sizes = st.dictionaries(
    st.sampled_from(["f0000_14", "f0001_41", "é/ü".replace("/", "_"), "d"]), st.integers(2, 9), min_size=1
)


def written(path: Path, clients: dict[str, dict]) -> Path:
    """TFF's layout: /examples/<client>/<column>; lists of bytes become variable-length strings."""
    with h5py.File(path, "w") as file:
        examples = file.create_group("examples")
        for client, columns in clients.items():
            group = examples.create_group(client)
            for name, column in columns.items():
                kind = h5py.string_dtype() if isinstance(column, list) else None
                group.create_dataset(name, data=column, dtype=kind)
    return path


def writers(counts: dict[str, int], seed: int = 0) -> dict[str, dict[str, np.ndarray]]:
    """Images whose values are multiples of 1/255, as TFF's."""
    draw = np.random.default_rng(seed)
    return {
        client: {
            "pixels": (draw.integers(0, 256, (num, 28, 28)) / 255).astype(np.float32),
            "label": draw.integers(0, 62, num).astype(np.int32),
        }
        for client, num in counts.items()
    }


def inked(clients: dict[str, dict[str, np.ndarray]]) -> dict[str, dict[str, np.ndarray]]:
    """uint8 ink by a loop over pixels."""
    made = {}
    for client, columns in clients.items():
        x = np.zeros(columns["pixels"].shape, np.uint8)
        for at in np.ndindex(x.shape):
            x[at] = 255 - round(float(columns["pixels"][at]) * 255)
        made[client] = {"x": x, "y": columns["label"]}
    return made


# ---- EMNIST ----


@STEADY
@given(sizes, sizes, st.none() | st.integers(0, 3))
def test_images_written_and_read_are_the_same_rows(tmp_path, first, second, seed):
    train, test = writers(first), writers(second, 1)
    paths = written(tmp_path / "train.h5", train), written(tmp_path / "test.h5", test)
    population = tff_emnist(*paths, seed=seed, pixels=None, incomplete="cut")
    plain = [
        {c: {"x": t["pixels"], "y": t["label"]} for c, t in dict(sorted(side.items())).items()}
        for side in (train, test)
    ]
    assert_holds(population, expected(*plain, seed=seed))


def test_pixels_become_ink(tmp_path):
    train, test = writers({"a": 5, "b": 3}), writers({"a": 2, "b": 1}, 1)
    population = tff_emnist(written(tmp_path / "fed_emnist_train.h5", train), written(tmp_path / "t.h5", test))
    assert_holds(population, expected(inked(train), inked(test)))
    about = population.about
    assert (about.name, about.num_classes, about.source) == ("tff emnist", 62, "TFF HDF5: fed_emnist_train.h5, t.h5")
    assert about.task


def test_any_function_of_the_pixels_will_do(tmp_path):
    train = writers({"a": 5})
    population = tff_emnist(written(tmp_path / "a.h5", train), pixels=lambda x: x[:, ::4, ::4] > 0.5)
    small = {"x": train["a"]["pixels"][:, ::4, ::4] > 0.5, "y": train["a"]["label"]}
    assert_holds(population, expected({"a": small}, None))


def test_ink_takes_flat_lists_and_every_grey():
    greys = np.arange(256, dtype=np.float64).repeat(784).reshape(256, 784) / 255
    for pixels in (greys, greys.astype(np.float32), greys.tolist()):
        np.testing.assert_array_equal(
            ink(pixels), 255 - np.arange(256, dtype=np.uint8).repeat(784).reshape(256, 28, 28)
        )


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.full((1, 28, 28), 1.5), "from 0 (ink) to 1 (paper), got 1.5"),
        (np.full((1, 28, 28), np.nan), "row 0"),
        (np.full((2, 27, 28), 1.0), "got float64[2, 27, 28]"),
        (np.full((1, 28, 28), "a"), "expected numbers"),
        ([[1.0] * 784, [1.0] * 783], "images of one size"),
    ],
)
def test_what_is_no_image_is_refused(pixels, words):
    assert words in refusal(ink, pixels)


def changed(**columns) -> dict[str, dict]:
    clients = writers({"ada": 4, "bob": 4})
    clients["bob"] = {name: column for name, column in (clients["bob"] | columns).items() if column is not None}
    return clients


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"pixels": None}, "expected a column 'pixels', got label"),
        ({"label": None}, "expected a column 'label', got pixels"),
        ({"label": None, "labels": np.arange(4)}, "did you mean 'labels'?"),
        ({"label": np.arange(3)}, "as many labels as pixels, got 3 and 4"),
        ({"label": np.array([0, 1, -1, 2])}, "expected labels from 0 to 61, got -1 in row 2"),
        ({"label": np.array([0, 62, 1, 2])}, "got 62 in row 1; recode it, or raise num_classes"),
        ({"label": np.array([0, np.nan, 1, 2])}, "expected finite numbers, got NaN or infinity in row 1"),
        ({"label": np.array([0.0, 1, 1, 2])}, "expected one whole number a row for a label, got float64[4]"),
        ({"label": [b"1", b"2", b"3", b"4"]}, "expected numbers"),
        ({"label": np.zeros((4, 1), np.int32)}, "got int32[4, 1]"),
        ({"label": np.int32(3)}, "without rows"),
        ({"pixels": [b"a"] * 4}, "column 'pixels': expected numbers, got dtype object"),
        ({"pixels": np.full((4, 28, 28), 7.0)}, "from 0 (ink) to 1 (paper)"),
        ({"pixels": np.full((4, 28, 28), np.inf)}, "expected finite numbers, got NaN or infinity in row 0"),
        ({"pixels": np.zeros((0, 28, 28)), "label": np.zeros(0, np.int32)}, "at least 2"),
    ],
)
def test_a_bad_client_is_refused_with_its_file(tmp_path, columns, words):
    path = written(tmp_path / "bad.h5", changed(**columns))
    message = refusal(tff_emnist, path)
    assert message.startswith(f"{path}, client 'bob'")
    assert words in message


def test_a_writer_in_one_file_is_refused(tmp_path):
    paths = written(tmp_path / "a.h5", writers({"ada": 4, "bob": 4})), written(tmp_path / "b.h5", writers({"ada": 2}))
    message = refusal(tff_emnist, *paths)
    assert message.startswith(f"{paths[0]} and {paths[1]}, client 'bob'")
    assert tff_emnist(*paths, incomplete="leave out").ids == ("ada",)


# ---- files ----


def test_no_prefix_of_a_file_is_read(tmp_path):
    """Every 61st length; the superblock says how long a file is."""
    content = written(tmp_path / "whole.h5", writers({"ada": 2, "bob": 3})).read_bytes()
    for length in [*range(0, len(content), 61), len(content) - 1]:
        path = tmp_path / "prefix.h5"
        path.write_bytes(content[:length])
        assert refusal(tff_emnist, path).startswith(str(path))


def test_damaged_data_is_refused_by_client(tmp_path):
    """A compressed chunk with a checksum, one byte of it flipped."""
    path = tmp_path / "chunk.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("examples/ada")
        group.create_dataset("label", data=np.arange(4))
        pixels = group.create_dataset("pixels", data=np.ones((4, 28, 28)), chunks=(4, 28, 28), fletcher32=True)
        at = pixels.id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    assert refusal(tff_emnist, path).startswith(
        f"{path}, client 'ada', column 'pixels': expected HDF5 that can be read"
    )


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda file: None, "expected a group /examples with one group for each client, got nothing"),
        (lambda file: file.create_group("people"), "got people"),
        (lambda file: file.create_dataset("examples", data=[1]), "got examples"),
        (lambda file: file.create_group("examples"), "expected at least one client in /examples, got none"),
        (lambda file: file.create_dataset("examples/ada", data=[1]), "client 'ada': expected a group of columns"),
        (lambda file: file.create_group("examples/ada/label"), "client 'ada', column 'label': expected an array"),
        (lambda file: file.create_group("examples").id and h5py.h5g.create(file["examples"].id, b"\xff"), "UTF-8"),
        (lambda file: file.__setitem__("examples/ada", h5py.ExternalLink("gone.h5", "/x")), "client 'ada'"),
    ],
)
def test_other_layouts_are_refused(tmp_path, make, words):
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        make(file)
    message = refusal(tff_emnist, path)
    assert message.startswith(str(path))
    assert words in message


def test_what_is_no_file_is_refused(tmp_path):
    assert "expected an HDF5 file, got none of that name" in refusal(tff_emnist, tmp_path / "none.h5")
    assert "expected an HDF5 file" in refusal(tff_emnist, tmp_path)
    assert "num_classes" in refusal(tff_emnist, tmp_path, num_classes=1)


def test_without_h5py_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    message = refusal(tff_emnist, tmp_path / "a.h5")
    assert "h5py: expected it to be installed, got ModuleNotFoundError" in message
    assert "pip install pfljax[hdf5]" in message
    assert need("json", "none").loads("1") == 1


# ---- Shakespeare ----

ROLES = {"PLAY_ADA": [b"Ay!", b"", b"No, \xc3\xa9 no.\n", b"Who?", b"I."], "PLAY_BOB": [b"a", b"bb"]}
LATER = {"PLAY_ADA": [b"Out."], "PLAY_BOB": [b"ccc", b"d"]}


def examples(lines: list[bytes], context: int) -> dict[str, np.ndarray]:
    """Every character and every end, each from the symbols before it, by loops."""
    x, y = [], []
    for line in lines:
        symbols = [CHARACTERS.find(char) + 2 if char in CHARACTERS else OTHER for char in line.decode()] + [BOUNDARY]
        for at, symbol in enumerate(symbols):
            x.append(([BOUNDARY] * context + symbols[:at])[-context:])
            y.append(symbol)
    return {"x": np.array(x, np.uint8).reshape(-1, context), "y": np.array(y, np.uint8)}


@pytest.mark.parametrize("context", [1, 3, 20])
def test_lines_become_next_characters(tmp_path, context):
    """Lines are shuffled and cut whole, by their number: 3.75 of 5 are train lines, 1.5 of 2."""
    paths = [
        written(tmp_path / f"{name}.h5", {role: {"snippets": lines} for role, lines in side.items()})
        for name, side in (("a", ROLES), ("b", LATER))
    ]
    population = tff_shakespeare(*paths, context=context, seed=7)
    held = {}
    for role, lines in ROLES.items():
        mine = [lines[at] for at in keys.host(7, role).permutation(len(lines))]
        num = round(len(lines) * 0.75)
        parts = zip(SPLITS, (mine[:num], mine[num:], LATER[role]), strict=True)
        held[role] = {split: examples(part, context) for split, part in parts}
    assert_holds(population, held)
    assert population.about.num_classes == len(CHARACTERS) + 2 == 100
    assert population.about.name == "tff shakespeare"


def test_characters_can_be_chosen(tmp_path):
    path = written(tmp_path / "a.h5", {"r": {"snippets": ["zéa".encode(), b"b"]}})
    population = tff_shakespeare(path, seed=None, context=2, characters="éz", split=(0.5, 0.0, 0.5))
    assert population.client("r")["y"].tolist() == [3, 2, OTHER, BOUNDARY]
    assert population.client("r", "test")["y"].tolist() == [OTHER, BOUNDARY]
    assert population.about.num_classes == 4


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"snippets": [b"good", b"\xff\xfe"]}, "column 'snippets': expected text in UTF-8"),
        ({"snippets": np.arange(3)}, "expected strings [row], got int64[3]"),
        ({"lines": [b"a"]}, "expected a column 'snippets', got lines"),
        ({"snippets": [b"only"]}, "expected at least 2 examples (train and test), got 1"),
        ({"snippets": []}, "expected at least 2 examples (train and test), got none"),
    ],
)
def test_a_bad_role_is_refused(tmp_path, columns, words):
    path = written(tmp_path / "bad.h5", {"ada": {"snippets": [b"a", b"b"]}, "bob": columns})
    message = refusal(tff_shakespeare, path)
    assert "client 'bob'" in message
    assert str(path) in message
    assert words in message


@pytest.mark.parametrize("characters", ["", "aa", "".join(map(chr, range(300, 555))), b"ab"])
def test_bad_alphabets_are_refused(tmp_path, characters):
    assert "1 to 254 different characters" in refusal(tff_shakespeare, tmp_path, characters=characters)


def test_bad_contexts_are_refused(tmp_path):
    assert "context: expected a whole number of at least 1, got 0" in refusal(tff_shakespeare, tmp_path, context=0)
