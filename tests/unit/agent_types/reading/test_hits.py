"""Hits as documents again."""

from datamcp.agent_types.reading.hits import by_source, document_of
from datamcp.agent_types.reading.search import search
from datamcp.processors.documents.reader import document

_TEXT = "# T\n\n## One\n\nThe oil price fell\nin May. It rose again.\n\n## Two\n\nOil is liquid.\n"


def test_sources_come_by_rank_and_their_hits_by_place() -> None:
    """So that a summary reads from the best document on, and each from top to bottom."""
    documents = [document(_TEXT.encode(), "a.md"), document(b"Oil.", "b.md")]
    hits = search("oil is a liquid", documents, 5).hits
    grouped = by_source(hits)
    assert next(iter(grouped)) == hits[0].source == "a.md"
    assert [hit.first_line for hit in grouped["a.md"]] == [5, 10]


def test_the_source_tells_the_lines() -> None:
    """Read once more, it gives each sentence its place; without it the passage's has to do."""
    original = document(_TEXT.encode(), "a.md")
    hits = search("oil price", [original], 1).hits
    exact = document_of(hits, original)
    assert [(b.text, b.line) for b in exact.blocks[2:]] == [
        ("The oil price fell\nin May. It rose again.", 5)
    ]
    rough = document_of(hits, None)
    assert [(b.text, b.line) for b in rough.blocks][-1] == (
        "The oil price fell in May. It rose again.",
        5,
    )
    changed = document_of(hits, document(b"Something else.", "a.md"))
    assert changed == rough
