"""PDF as blocks: the text of each page, and the files that have none."""

import sys

import pytest
from support.pdfs import blank_pdf, encrypted_pdf, pdf

from datamcp.errors import ProcessingError
from datamcp.processors.documents.pdf import parse

LONG = "This line is as long as the others of its paragraph, up to here"


def test_the_text_of_each_page_is_read() -> None:
    """Blocks know their page; words that were cut at a line's end are whole again."""
    parsed = parse(
        pdf([["Oil", LONG, "and an inven-", "tory of it."], ["Second page."]], title="T")
    )
    assert parsed.title == "T"
    assert [(block.text, block.page, block.line) for block in parsed.blocks] == [
        (f"Oil {LONG} and an inventory of it.", 1, None),
        ("Second page.", 2, None),
    ]


def test_a_short_line_that_ends_a_sentence_ends_its_paragraph() -> None:
    """As there are no empty lines, the look of the lines has to do."""
    parsed = parse(pdf([[LONG, "is one.", LONG, "is another."]]))
    assert [block.text for block in parsed.blocks] == [f"{LONG} is one.", f"{LONG} is another."]


def test_what_stands_on_every_page_is_left_out() -> None:
    """Running heads and page numbers are no text."""
    pages = [
        ["Annual report", f"{LONG} {letter}.", f"Page {number}"]
        for number, letter in enumerate("abcd", start=1)
    ]
    assert [block.text for block in parse(pdf(pages)).blocks] == [
        f"{LONG} {letter}." for letter in "abcd"
    ]


def test_progress_is_told_page_by_page() -> None:
    """Whoever waits sees that a long file goes on."""
    seen: list[int] = []
    parse(pdf([["One."], ["Two."], ["Three."]]), lambda: seen.append(1))
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a PDF"),
        (b"no pdf at all", "not a PDF"),
        (b"%PDF-1.7\n%%EOF", "not a PDF"),
        (pdf([["x"]])[:200], "not a PDF|no text"),
        (encrypted_pdf("secret"), "password"),
        (blank_pdf(), "images"),
    ],
)
def test_what_can_t_be_read_has_a_reason(data: bytes, message: str) -> None:
    """Broken, encrypted and scanned files are told apart."""
    with pytest.raises(ProcessingError, match=message):
        parse(data)


def test_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, the reason names it."""
    monkeypatch.setitem(sys.modules, "pypdf", None)
    with pytest.raises(ProcessingError, match=r"pip install 'datamcp\[documents\]'"):
        parse(pdf([["x"]]))
