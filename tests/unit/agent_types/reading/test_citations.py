"""Numbers for sources."""

from datamcp.agent_types.reading.citations import Citations


def test_a_source_has_one_number_in_the_order_of_first_citation() -> None:
    """And one line, with all places in it, those joined that touch each other."""
    citations = Citations()
    assert not citations
    marks = [
        citations.cite("b.md", "B", lines=(5, 9)),
        citations.cite("a.pdf", "A", page=3),
        citations.cite("b.md", "B", lines=(10, 12)),
        citations.cite("b.md", "B", lines=(40, 40)),
        citations.cite("a.pdf", "A", page=1),
        citations.cite("c.md", "C", lines=(7, 7)),
        citations.cite("d.md", "[D](x)"),
    ]
    assert marks == ["[1]", "[2]", "[1]", "[1]", "[2]", "[3]", "[4]"]
    assert list(citations.listed()) == [
        "1. B: b.md, lines 5-12, 40",
        "2. A: a.pdf, pages 1, 3",
        "3. C: c.md, line 7",
        "4. \\[D\\](x): d.md",
    ]
