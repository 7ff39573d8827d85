"""Markdown as blocks, and the text that inline markup shows."""

import pytest

from datamcp.processors.documents.document import BlockKind
from datamcp.processors.documents.inline import shown
from datamcp.processors.documents.markdown import parse

PAGE = """\
---
title: "Oil and *gas*"
author: Someone
---
# The price

It **rose** to
[100 dollars](http://example.com/a_(b)) in `2008`.

- one
  goes on
- [x] two

1. first
2. second

| A | B |
| --- | --- |
| 1 | **2** |

> quoted
> text

Part two
--------

```py
# no heading
x = 1
```

    indented code

<!-- a comment
of two lines -->
The end.[^1]

[ref]: http://example.com
[^1]: A note.
[^2]: Another.
"""


def test_each_kind_of_block_is_found_in_its_line() -> None:
    """Headings, paragraphs, items, tables and code, with the markup taken off."""
    found = [(block.kind.value, block.text, block.line) for block in parse(PAGE).blocks]
    assert found == [
        ("heading", "The price", 5),
        ("paragraph", "It rose to\n100 dollars in 2008.", 7),
        ("item", "one\ngoes on", 10),
        ("item", "two", 12),
        ("item", "first", 14),
        ("item", "second", 15),
        ("table", "| A | B |\n| --- | --- |\n| 1 | 2 |", 17),
        ("paragraph", "quoted\ntext", 21),
        ("heading", "Part two", 24),
        ("code", "# no heading\nx = 1", 28),
        ("code", "    indented code", 32),
        ("paragraph", "The end.", 36),
        ("paragraph", "A note.", 39),
        ("paragraph", "Another.", 40),
    ]


def test_front_matter_is_metadata_and_tells_the_title() -> None:
    """What stands between the rules is no text."""
    parsed = parse(PAGE)
    assert parsed.title == "Oil and *gas*"
    assert parsed.metadata == {"title": "Oil and *gas*", "author": "Someone"}
    assert parse("+++\ntitle = 'T'\n+++\nText.").title == "T"


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# One\n\ntext", "One"),
        ("intro\n\n# One", "One"),
        ("## Two\n\ntext", "Two"),
        ("intro\n\n## Two", ""),
        ("---\nno end", ""),
        ("", ""),
    ],
)
def test_a_heading_of_the_first_level_or_at_the_start_is_the_title(text: str, title: str) -> None:
    """Any other heading is that of a part."""
    assert parse(text).title == title


def test_a_thematic_break_at_the_start_is_no_front_matter() -> None:
    """Rules without fields between them hide no text."""
    assert [block.text for block in parse("text\n\n---\n\nmore").blocks] == ["text", "more"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*a* and **b** and ***c***", "a and b and c"),
        ("_a_ __b__ but a_b_c", "a b but a_b_c"),
        ("2 * 3 * 4 = 24", "2 * 3 * 4 = 24"),
        ("![alt](x.png) [text][ref] [only]", "alt text [only]"),
        ("[![badge](a.svg)](b.html) end", "badge end"),
        ("<https://example.com/x> and <b>bold</b>", "https://example.com/x and bold"),
        ("`a_b *c*` and ``x ` y``", "a_b *c* and ``x ` y``"),
        (r"\*not\* \_this\_ \[nor\](that)", "*not* _this_ [nor](that)"),
        ("Q&amp;A &lt;b&gt; &copy; &unknown;", "Q&A <b> © &unknown;"),
        ("~~gone~~ x<y and z>d, List<String>", "gone x<y and z>d, List<String>"),
        ("one<br>\ntwo <!-- x\ny --> three", "one\ntwo \n three"),
    ],
)
def test_inline_markup_is_shown_as_its_text(text: str, expected: str) -> None:
    """What a reader of the rendered page sees; what only looks like markup stays."""
    assert shown(text) == expected


def test_code_is_never_prose() -> None:
    """A fence without an end reaches to the end of the file."""
    blocks = parse("text\n~~~\na\n\nb").blocks
    assert [block.kind for block in blocks] == [BlockKind.PARAGRAPH, BlockKind.CODE]
    assert blocks[1].text == "a\n\nb"
