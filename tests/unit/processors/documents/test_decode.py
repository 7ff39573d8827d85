"""Bytes as text: byte order marks, UTF-8, Windows-1252, and what is no text."""

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamcp.errors import ProcessingError
from datamcp.processors.documents.decode import decode


@pytest.mark.parametrize(
    "data",
    [
        "Zürich — 25 €".encode(),
        codecs.BOM_UTF8 + "Zürich — 25 €".encode(),
        codecs.BOM_UTF16_LE + "Zürich — 25 €".encode("utf-16-le"),
        codecs.BOM_UTF16_BE + "Zürich — 25 €".encode("utf-16-be"),
        codecs.BOM_UTF32_LE + "Zürich — 25 €".encode("utf-32-le"),
    ],
)
def test_a_byte_order_mark_tells_the_encoding_and_utf_8_needs_none(data: bytes) -> None:
    """Text in any Unicode encoding is read as it is, and without a warning."""
    assert decode(data).text == "Zürich — 25 €"
    assert decode(data).warnings == ()


def test_what_is_not_utf_8_is_read_as_windows_1252_with_a_warning() -> None:
    """Old files of Western languages are readable, and the reader is told."""
    decoded = decode("Café — 25 €".encode("cp1252"))
    assert decoded.text == "Café — 25 €"
    assert decoded.warnings == ("not UTF-8; read as Windows-1252",)


def test_one_broken_place_does_not_spoil_a_text() -> None:
    """A text that is UTF-8 but for a few bytes stays readable."""
    decoded = decode("grün und süß".encode() + b"\xff" + " über".encode())
    assert decoded.text == "grün und süß\ufffd über"
    assert "1 place" in decoded.warnings[0]


def test_a_declared_encoding_goes_before_the_guess() -> None:
    """What a file says of itself is believed where it is not UTF-8; nonsense is not."""
    data = "Москва".encode("koi8-r")
    assert decode(data, "koi8-r").text == "Москва"
    assert decode("Café".encode("cp1252"), "no-such-encoding").text == "Café"


def test_lines_end_in_one_way_and_controls_are_gone() -> None:
    """Line ends become line feeds; a form feed or an escape is no reason to refuse a text."""
    assert decode(b"a\r\nb\rc\n\x0cd \x1b[1me").text == "a\nb\nc\n d  [1me"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"ab\0cd", "NUL"),
        (b"\x89PNG\r\n\x1a\n\0\0", "NUL"),
        (bytes(range(1, 32)) * 10, "controls"),
        (b"caf\xe9 \x81", "neither UTF-8 nor Windows-1252"),
        (codecs.BOM_UTF16_LE + b"a\0b", "broken encoding"),
        (codecs.BOM_UTF16_LE + "a\0b".encode("utf-16-le"), "NUL"),
    ],
)
def test_what_is_no_text_is_refused_with_the_reason(data: bytes, message: str) -> None:
    """Binary data and broken text are told apart from text."""
    with pytest.raises(ProcessingError, match=message):
        decode(data)


@given(st.binary())
def test_any_bytes_are_text_or_refused(data: bytes) -> None:
    """Nothing else comes of bytes, and a text has no NUL and no carriage return."""
    try:
        text = decode(data).text
    except ProcessingError:
        return
    assert "\0" not in text
    assert "\r" not in text


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"])))
def test_unicode_text_comes_back_whole(text: str) -> None:
    """Text without control characters is not changed, apart from unusual line breaks."""
    expected = text.replace("\u2028", " ").replace("\u2029", " ").replace("\ufeff", " ")
    if not text.startswith("\ufeff"):
        assert decode(text.encode()).text in {expected, text}
