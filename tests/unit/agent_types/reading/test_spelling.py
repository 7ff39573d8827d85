"""What a word that no document has may mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamcp.agent_types.reading.index import indexed
from datamcp.agent_types.reading.question import understood
from datamcp.agent_types.reading.spelling import edits, similar
from datamcp.processors.documents.reader import document


def meant(query: str, text: str) -> dict[int, tuple[str, ...]]:
    """Return what the terms of a query may mean in a text."""
    return dict(similar(indexed(understood(query), [document(text.encode(), "a.md")])).words)


@pytest.mark.parametrize(
    ("query", "text", "expected"),
    [
        ("kuwiat", "In Kuwait.", {0: ("kuwait",)}),
        ("petrolium", "Petroleum.", {0: ("petroleum",)}),
        ("kuwait", "In Kuwait.", {}),
        ("oil", "Oils and oik.", {}),
        ("volcanologist", "The volcano.", {0: ("volcano",)}),
        ("databasedump", "The database and its dump.", {0: ("database", "dump")}),
        ("1986", "In 1987.", {}),
        ("zebra", "Nothing here.", {}),
        ("oil kuwiat", "Oil in Kuwait.", {1: ("kuwait",)}),
    ],
)
def test_only_what_is_missing_is_replaced(
    query: str, text: str, expected: dict[int, tuple[str, ...]]
) -> None:
    """By words that differ little, that it consists of, or that begin alike."""
    assert meant(query, text) == expected


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [
        ("oil", "oil", 0),
        ("oil", "oli", 1),
        ("oil", "oils", 1),
        ("oil", "ail", 1),
        ("oil", "gas", 3),
    ],
)
def test_a_swap_is_one_edit(one: str, other: str, distance: int) -> None:
    """As are a letter more, a letter less and another letter."""
    assert edits(one, other, 2) == min(distance, 3)


@given(st.text("abc", max_size=8), st.text("abc", max_size=8))
def test_distance_is_the_same_both_ways(one: str, other: str) -> None:
    """And 0 for equal words alone."""
    assert edits(one, other, 3) == edits(other, one, 3)
    assert (edits(one, other, 3) == 0) == (one == other)
