"""Markdown that says what values say and does nothing else."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from datamcp.agent_types.reading.markup import cell, inline, link, paragraph, table

_HOSTILE = [
    "# heading",
    "[text](http://evil.example)",
    "![image](http://evil.example/x.png)",
    "<script>alert(1)</script>",
    "<b onclick=x>",
    "http://evil.example/x",
    "www.evil.example",
    "javascript:alert(1)",
    "**bold** _em_ __strong__ ~~gone~~ `code`",
    "- item",
    "* item",
    "+ item",
    "1. item",
    "1990) item",
    "> quote",
    "---",
    "===",
    "***",
    "    code",
    "```\ncode\n```",
    "a | b | c",
    "| - | - |",
    "[ref]: http://evil.example",
    "[ref][]",
    "line\n\n# heading",
    "line\r# heading",
    "&lt;b&gt; &#35; &copy;",
    "\\# \\[a\\](b)",
    "a\u2028# b",
    "\u202egnp.exe",
    "<!-- comment -->",
    "<http://evil.example>",
    "$x$ ~x~ ^x^",
    ": definition",
]
_MARKS = st.text(alphabet=st.sampled_from("#*_[]()<>`~|!-+=.:/\\&;1aw \n\t@h tps"), max_size=40)


def tokens(text: str) -> list[Token]:
    """Return everything that a renderer of Markdown, tables and bare links included, makes of it."""
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    found = []
    for token in parser.parse(text):
        found += [token, *(token.children or [])]
    return found


def shown(text: str) -> str:
    """Return what a reader sees of a text in Markdown."""
    return "".join(token.content for token in tokens(text) if token.type == "text")


def clean(text: str) -> str:
    """Return a text without what cannot be seen, in one line."""
    return " ".join(inline_characters(text).split())


def inline_characters(text: str) -> str:
    """Return the characters of a text that are shown."""
    hidden = {*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, 0x202E}
    return "".join(" " if ord(char) in hidden else char for char in text)


@pytest.mark.parametrize("text", _HOSTILE)
def test_what_a_document_says_stays_text(text: str) -> None:
    """A paragraph of it is one paragraph of text and nothing else, which says the same."""
    kinds = {token.type for token in tokens(paragraph(text))}
    assert kinds <= {"paragraph_open", "inline", "text", "text_special", "paragraph_close"}
    assert shown(paragraph(text)) == clean(text)


@given(_MARKS)
def test_no_text_becomes_markup(text: str) -> None:
    """Neither at the start of a paragraph, nor in a quote, nor after a sentence."""
    for before in ("", "> ", "Text. "):
        kinds = {token.type for token in tokens(before + paragraph(text))}
        allowed = {"paragraph_open", "inline", "text", "paragraph_close"}
        assert kinds <= allowed | {"blockquote_open", "blockquote_close"}
    assert shown(paragraph(text)) == clean(text)


@given(_MARKS, _MARKS)
def test_a_cell_stays_in_its_column(one: str, other: str) -> None:
    """Whatever is in the cells, a table of two columns and one row is that."""
    lines = table(["a", "b"], [[one, other]])
    found = tokens("\n".join(lines))
    assert [token.type for token in found].count("td_open") == 2
    assert [token.type for token in found].count("tr_open") == 2
    assert not {"link_open", "em_open", "strong_open", "code_inline"} & {t.type for t in found}


def test_web_addresses_are_not_turned_into_links() -> None:
    """GitHub makes links of them; a backslash in the right place prevents that."""
    assert inline("see http://a.b and www.a.b") == "see http\\://a.b and www\\.a.b"


def test_plain_text_looks_as_it_is() -> None:
    """Nothing is escaped that need not be."""
    text = "Prices rose by 3.5% (to $40) in 2008; see dep_time, AT&T, a-b, 5 > not."
    assert inline(text) == text.replace(">", "\\>")


def test_only_the_web_is_linked() -> None:
    """An author's URL is a link; what is none, is shown as text."""
    assert link("https://example.com/a?b=c") == "<https://example.com/a?b=c>"
    assert link("javascript:alert(1)") == "javascript\\:alert(1)"
    assert link("https://a.b/ <script>") == "https\\://a.b/ \\<script\\>"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ""),
        (True, "yes"),
        (1234567, "1,234,567"),
        (1234.5, "1,234.50"),
        (0.5, "0.500"),
        (0.0, "0.00"),
        (-0.0123, "-0.0123"),
        (0.00001234, "1.23e-05"),
        (Decimal("2.5"), "2.50"),
        (float("nan"), "nan"),
        (date(2008, 7, 3), "2008-07-03"),
        (datetime(2008, 7, 3, tzinfo=UTC), "2008-07-03T00:00:00+00:00"),
        ("a|b\nc", "a\\|b c"),
    ],
)
def test_values_are_written_for_people(value: object, expected: str) -> None:
    """Rounded, separated, and harmless."""
    assert cell(value) == expected
