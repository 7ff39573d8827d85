"""Bytes as text: by their byte order mark, else UTF-8, else Windows-1252 with a warning. Pure."""

import codecs
import re
from dataclasses import dataclass

from datamcp.errors import ProcessingError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins like UTF-16's, so it comes first
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_UNUSUAL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff]")
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\ufeff]")
_UNUSUAL_BREAKS = re.compile(
    "[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]"
)  # no editor counts them as lines
_MAX_CONTROLS = 0.02  # of all characters; a text with more of them is none


@dataclass(frozen=True, slots=True)
class Decoded:
    """A text whose lines end with a line feed and which has no other control characters."""

    text: str
    warnings: tuple[str, ...] = ()


def decode(data: bytes, declared: str | None = None) -> Decoded:
    """Return the text that some bytes are; ProcessingError if they are none.

    `declared` is the encoding that the file says it has; UTF-8 and a byte order mark go before it.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _marked(data[len(mark) :], encoding)
    if b"\0" in data:
        raise ProcessingError("binary: it has NUL bytes (UTF-16 needs a byte order mark)")
    try:
        return Decoded(_cleaned(data.decode()))
    except UnicodeDecodeError:
        return _declared(data, declared) or _guessed(data)


def _declared(data: bytes, encoding: str | None) -> Decoded | None:
    try:
        return Decoded(_cleaned(data.decode(encoding))) if encoding else None
    except (LookupError, UnicodeError):
        return None


def _marked(data: bytes, encoding: str) -> Decoded:
    try:
        return Decoded(_cleaned(data.decode(encoding)))
    except UnicodeDecodeError as error:
        raise ProcessingError(
            f"broken encoding: not {encoding}, as its byte order mark says, at byte {error.start}"
        ) from error


def _guessed(data: bytes) -> Decoded:
    """Return a text that is not UTF-8: UTF-8 with a few broken places, or Windows-1252."""
    lenient = data.decode(errors="replace")
    broken = lenient.count("\ufffd")
    if broken <= sum(char > "\x7f" for char in lenient) - broken:
        return Decoded(_cleaned(lenient), (f"not UTF-8 in {broken} places, which are shown as �",))
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError as error:
        raise ProcessingError("broken encoding: neither UTF-8 nor Windows-1252") from error
    return Decoded(_cleaned(text), ("not UTF-8; read as Windows-1252",))


def _cleaned(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        raise ProcessingError("binary: it has NUL characters")
    if not _UNUSUAL.search(text):
        return text
    cleaned, controls = _CONTROLS.subn(" ", _UNUSUAL_BREAKS.sub(" ", text))
    if controls > max(8, _MAX_CONTROLS * len(text)):
        raise ProcessingError(f"binary: {controls} of its {len(text)} characters are controls")
    return cleaned
