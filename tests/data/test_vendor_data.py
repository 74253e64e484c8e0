"""The script that makes the embedded data sets: parser, choice of strings and characters, files."""

import io
import sys
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from vendoring import catalogues, po, source, watch

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
