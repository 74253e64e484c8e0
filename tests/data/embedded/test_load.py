"""The embedded populations together: files, records, sizes, the same data everywhere, errors."""

import hashlib
import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from pfljax.data import audit, embedded
from pfljax.data.embedded import files as vendored
from pfljax.errors import PflError

VENDORED = Path(str(files("pfljax"))) / "data" / "vendored"

# {name: (clients, rows, (smallest, median, largest client), beginning of the checksum)}. Pinned, so that a new numpy
# or another machine cannot quietly change the data.
KNOWN = {
    "keyboard": (664, 1_607_869, (207, 987, 11_616), "4c41711d5cf3eb3a"),
    "plays": (455, 3_895_685, (2018, 6136, 61_290), "25887094a221dc99"),
    "wearable": (20, 4265, (112, 228.5, 279), "ecc1a47557e2408f"),
    "insurance": (5397, 19_429, (3, 3, 5), "cb4f497a6acf39f2"),
    "purchases": (3835, 31_258, (4, 6, 170), "b53c25a71fafc2b5"),
    "lending": (50, 9857, (16, 121, 1324), "97ba1b14df1afe5d"),
    "digits": (14, 1797, (122, 130, 130), "a9121491c24701d6"),
}


@pytest.mark.parametrize("name", embedded.LOADERS)
def test_files_are_the_recorded_ones_and_need_no_pickle(name):
    record = json.loads((VENDORED / "checksums.json").read_text(encoding="utf-8"))[f"{name}.npz"]
    assert hashlib.sha256((VENDORED / f"{name}.npz").read_bytes()).hexdigest() == record["sha256"]
    with np.load(VENDORED / f"{name}.npz", allow_pickle=False) as archive:
        assert all(archive[key].dtype.kind in "iufU" for key in archive)


def test_files_are_small():
    assert sum(path.stat().st_size for path in VENDORED.iterdir()) < 5_000_000


def test_notice_names_sources_authors_and_licences():
    notice = (VENDORED / "NOTICE").read_text(encoding="utf-8")
    records = json.loads((VENDORED / "checksums.json").read_text(encoding="utf-8"))
    assert set(records) == {f"{name}.npz" for name in embedded.LOADERS}
    for name, record in records.items():
        section = notice.split(f"\n{name}\n", 1)[1].split(".npz\n", 1)[0]
        assert f"Source: {record['source']} {record['version']}, " in section
        assert f"Licence: {record['licence']}" in section
        assert "in full:" in section
    for words in (
        "Copyright (c) Django Software Foundation and individual contributors.",
        "Copyright (c) 2018, David M. Burns",
        "Copyright 2019 Sean Stewart",
        "Copyright 2019 Max Kuhn, RStudio",
        "statsmodels Developers",
        "Copyright (c) 2015, Cameron Davidson-Pilon",
        "The scikit-learn developers.",
        "by way of A. C. Cameron and P. K. Trivedi",
        "P. S. Fader and B. G. S. Hardie",
        "E. Alpaydin and C. Kaynak",
    ):
        assert words in notice
    notice = " ".join(notice.split())
    assert notice.count("OF THE POSSIBILITY OF SUCH DAMAGE.") == 4
    assert notice.count("The above copyright notice and this permission notice shall be included in all copies or") == 3
    assert "GCC" not in notice


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: b"\0" + content[1:], lambda _: b""])
@pytest.mark.parametrize("name", embedded.LOADERS)
def test_a_damaged_file_is_refused(name, damage, tmp_path, monkeypatch):
    (tmp_path / f"{name}.npz").write_bytes(damage((VENDORED / f"{name}.npz").read_bytes()))
    (tmp_path / "checksums.json").write_bytes((VENDORED / "checksums.json").read_bytes())
    monkeypatch.setattr(vendored, "folder", lambda: tmp_path)
    with pytest.raises(PflError, match=f"{name}.npz: expected sha256 .* damaged, reinstall pfljax"):
        embedded.load(name)


@pytest.mark.parametrize("name", embedded.LOADERS)
def test_the_same_everywhere(name):
    population = embedded.load(name)
    sizes = np.diff(population.offsets)
    clients, rows, spread, checksum = KNOWN[name]
    assert (population.num_clients, population.num_rows) == (clients, rows)
    assert (sizes.min(), np.median(sizes), sizes.max()) == spread
    assert population.checksum() == embedded.load(name).checksum()
    assert population.checksum().startswith(checksum)


@pytest.mark.parametrize("name", embedded.LOADERS)
def test_everybody_has_all_three_splits(name):
    population = embedded.load(name)
    assert all(population.sizes(split).min() >= 1 for split in ("train", "validation", "test"))
    record = json.loads((VENDORED / "checksums.json").read_text(encoding="utf-8"))[f"{name}.npz"]
    about = population.about
    assert (about.name, about.licence) == (name, record["licence"])
    assert about.source == f"{record['source']} {record['version']}"
    assert about.task


@pytest.mark.parametrize("name", ["wearable", "insurance", "purchases", "lending", "digits"])
def test_no_row_is_in_two_splits(name):
    """Not of a client, nor of two; the contexts of text populations do repeat."""
    found = audit(embedded.load(name))
    assert found.within.sum() == found.between.sum() == 0


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("keybord", {}, "expected one of keyboard, plays, wearable, .*got 'keybord', did you mean 'keyboard'"),
        ("keyboard", {"ordre": "entries"}, "got 'ordre', did you mean 'order'"),
        ("keyboard", {"order": "catalog"}, "got 'catalog', did you mean 'catalogue'"),
        ("keyboard", {"hold_out": "lang"}, "expected one of client, language, got 'lang'"),
        ("keyboard", {"context": 0}, "context: expected a whole number of at least 1, got 0"),
        ("keyboard", {"context": 2.5}, "expected a whole number"),
        ("keyboard", {"min_characters": 99}, "at least 100, got 99"),
        ("keyboard", {"min_characters": 10**6}, "expected at most 11280"),
        ("plays", {"min_characters": 499}, "min_characters: expected a whole number of at least 500, got 499"),
        ("plays", {"min_characters": 10**6}, "expected at most 60931, the longest role, got 1000000"),
        ("plays", {"hold_out": "role"}, "expected one of client, play, got 'role'"),
        ("plays", {"order": "entries"}, "option of plays: expected one of context, min_characters, hold_out"),
        ("insurance", {"target": "visit"}, "got 'visit', did you mean 'visits'"),
        ("insurance", {"min_years": 0}, "min_years: expected a whole number of at least 1, got 0"),
        ("insurance", {"min_years": 6}, "expected at most 5, the longest enrolment, got 6"),
        ("purchases", {"target": "time"}, "expected one of amount, gap, got 'time'"),
        ("purchases", {"min_purchases": 2}, "min_purchases: expected a whole number of at least 3, got 2"),
        ("purchases", {"min_purchases": 172}, "expected at most 171, the most loyal customer, got 172"),
        ("lending", {"seed": -1}, "seed: expected a whole number of at least 0"),
        ("digits", {"partition": "form"}, "expected one of forms, dirichlet, got 'form', did you mean 'forms'"),
        ("digits", {"alpha": 0.1}, 'alpha: expected none for the 14 forms, got 0.1; add partition="dirichlet"'),
        ("digits", {"partition": "dirichlet", "num_clients": 180}, "num_clients: expected at most 179"),
        ("digits", {"partition": "dirichlet", "alpha": -1}, "alpha: expected a number"),
        ("digits", {"seed": 0.5}, "seed: expected a whole number of at least 0"),
        ("wearable", {"context": 6}, "option of wearable: expected none, got 'context'"),
    ],
)
def test_wrong_requests_say_what_was_expected(name, options, message):
    with pytest.raises(PflError, match=message):
        embedded.load(name, **options)
