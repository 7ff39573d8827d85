"""Plain text as blocks: paragraphs, lists, and what looks like a heading."""

from datamcp.processors.documents.document import BlockKind
from datamcp.processors.documents.plain import parse


def shown(text: str) -> list[tuple[str, str, int | None]]:
    """Return kind, text and line of each block."""
    return [(block.kind, block.text, block.line) for block in parse(text).blocks]


def test_empty_lines_part_paragraphs() -> None:
    """A paragraph keeps its lines, so that a place in it can be told."""
    assert shown("one\ntwo.\n\n\nthree.") == [
        (BlockKind.PARAGRAPH, "one\ntwo.", 1),
        (BlockKind.PARAGRAPH, "three.", 5),
    ]


def test_underlined_lines_are_headings() -> None:
    """As in reStructuredText, with or without a rule above; the rule tells the level."""
    blocks = parse("=====\nTitle\n=====\n\nText.\n\nPart\n----\nMore.").blocks
    assert [(b.kind, b.text, b.level) for b in blocks] == [
        (BlockKind.HEADING, "Title", 1),
        (BlockKind.PARAGRAPH, "Text.", 0),
        (BlockKind.HEADING, "Part", 2),
        (BlockKind.PARAGRAPH, "More.", 0),
    ]
    assert parse("Title\n=====\n\nText.").title == "Title"


def test_marked_headings_are_read() -> None:
    """AsciiDoc and Org mark them in front."""
    assert [b.text for b in parse("== Part ==\n\n# Other\nText.").blocks] == [
        "Part",
        "Other",
        "Text.",
    ]


def test_a_short_line_alone_is_a_heading_unless_it_is_a_sentence() -> None:
    """Without marks only its look tells."""
    kinds = [kind for kind, _, _ in shown("The Report\n\nIt rains.\n\nWhat to do\n\nlower case")]
    assert kinds == ["heading", "paragraph", "heading", "paragraph"]


def test_items_are_told_from_lines_that_wrap() -> None:
    """A dash or a year at the start of a line is no list; a bullet and a first number are one."""
    assert shown("Prices:\n- one\n  more\n- two") == [
        (BlockKind.PARAGRAPH, "Prices:", 1),
        (BlockKind.ITEM, "one\nmore", 2),
        (BlockKind.ITEM, "two", 4),
    ]
    assert shown("it fell in\n1990. Then it rose.")[0][0] is BlockKind.PARAGRAPH
    assert shown("it fell in\n19. Then it rose.") == [
        (BlockKind.PARAGRAPH, "it fell in\n19. Then it rose.", 1)
    ]


def test_ornaments_are_no_text() -> None:
    """A rule or a row of stars says nothing."""
    assert shown("***\n\n-----\n\n...") == []
