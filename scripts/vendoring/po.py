"""Reads gettext message catalogues (.po)."""

import re
import unicodedata
from dataclasses import dataclass, field


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
