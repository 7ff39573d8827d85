"""BM25, against the one that SQLite has."""

import sqlite3
from collections.abc import Sequence
from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamcp.agent_types.reading.bm25 import idf, normalized, saturated

_K1, _B = 1.2, 0.75  # SQLite's
_DOCUMENTS = st.lists(
    st.lists(st.sampled_from(["oil", "gas", "coal", "wind", "sun"]), min_size=1, max_size=12),
    min_size=1,
    max_size=12,
)


def sqlite_scores(documents: Sequence[Sequence[str]], words: Sequence[str]) -> dict[int, float]:
    """Return FTS5's bm25() of the documents that have one of the words."""
    with sqlite3.connect(":memory:") as base:
        base.execute("CREATE VIRTUAL TABLE texts USING fts5(body)")
        base.executemany(
            "INSERT INTO texts (rowid, body) VALUES (?, ?)",
            [(number, " ".join(document)) for number, document in enumerate(documents)],
        )
        rows = base.execute(
            "SELECT rowid, bm25(texts) FROM texts WHERE texts MATCH ?", [" OR ".join(words)]
        ).fetchall()
    base.close()
    return {number: -score for number, score in rows}  # better is lower there


def our_scores(documents: Sequence[Sequence[str]], words: Sequence[str]) -> dict[int, float]:
    """Return the same by our function, with SQLite's idf, which does not fall below zero."""
    average = sum(map(len, documents)) / len(documents)
    found = {}
    for number, document in enumerate(documents):
        if not set(words) & set(document):
            continue
        found[number] = 0.0
        for word in words:
            having = sum(word in other for other in documents)
            odds = (len(documents) - having + 0.5) / (having + 0.5)
            rarity = max(log(odds), 1e-6)
            count = normalized(document.count(word), len(document), average, _B)
            found[number] += rarity * saturated(count, _K1)
    return found


@given(_DOCUMENTS, st.sampled_from([["oil"], ["oil", "gas"], ["coal", "wind", "sun"]]))
def test_the_figures_are_those_of_sqlite(documents: list[list[str]], words: list[str]) -> None:
    """For any small collection and any question."""
    assert our_scores(documents, words) == pytest.approx(sqlite_scores(documents, words), abs=1e-9)


@given(st.integers(0, 1_000), st.integers(1, 1_000))
def test_a_rarer_word_tells_more_and_every_word_something(having: int, more: int) -> None:
    """However many texts have it."""
    total = having + more + 1
    assert idf(having, total) > idf(having + 1, total) > 0


@given(st.floats(0.01, 100), st.floats(0.01, 100), st.floats(1, 1_000))
def test_more_is_better_and_length_costs(count: float, more: float, length: float) -> None:
    """Up to k1 + 1, and never below nothing."""
    assert 0 < saturated(count) < saturated(count + more) < saturated(1e12) <= 2.2
    assert saturated(1.0) == pytest.approx(1.0)
    assert normalized(count, length, 10) >= normalized(count, length + 1, 10)
    assert normalized(count, 10, 10) == pytest.approx(count)
