"""How well the search does on questions whose answers are known.

The thresholds are a little below what was measured; `-rP` prints the figures.
"""

import re
import sqlite3
from collections.abc import Sequence
from typing import Self

import pytest
from support.retrieval import DEPTH, QUESTIONS, Asked, documents, measure, rank_of

from datamcp.agent_types.reading.passages import passages
from datamcp.agent_types.reading.results import Hit
from datamcp.agent_types.reading.search import heading, search
from datamcp.processors.documents.document import Document
from datamcp.storage.roots import PACKAGE_ROOT

_MARKET = [
    Asked("Where is WTI delivered?", "what_wti_is.md", "Cushing"),
    Asked("how many litres are in a barrel", "what_wti_is.md", "159 litres"),
    Asked("Why did the price collapse in 1986?", "collapse_of_1986.md", "gave up"),
    Asked("What was the lowest price of all?", "", "10.25"),
    Asked("When did Iraq invade Kuwait?", "gulf_war_1990_1991.md", "2 August 1990"),
    Asked(
        "How much did oil lose on the first day of Desert Storm?",
        "gulf_war_1990_1991.md",
        "33 per cent",
    ),
    Asked("Which currency crisis hit demand in Asia?", "asian_crisis_1997_1998.md", "baht"),
    Asked("by how much did OPEC cut in March 1999", "opec_cuts_1999.md", "1.7 million"),
    Asked(
        "When did oil first cost more than 100 dollars?", "rise_2003_2008.md", "20 February 2008"
    ),
    Asked("When did the price peak in 2008?", "", "3 July 2008"),
    Asked("Which bank failed in September 2008?", "peak_and_fall_2008.md", "Lehman"),
    Asked("Why was Brent dearer than WTI in 2011?", "libya_and_cushing_2011.md", "tanks filled"),
    Asked("What did OPEC decide on Thanksgiving 2014?", "shale_glut_2014_2016.md", "30 million"),
    Asked("What is fracking used for?", "shale_glut_2014_2016.md", "dense"),
    Asked("How much did Russia promise to cut in 2016?", "opec_plus_2016.md", "300,000"),
    Asked("Which countries could still buy from Iran in 2018?", "fall_of_late_2018.md", "Japan"),
    Asked("What is contango?", "inventories_and_contango.md", "is in contango"),
    Asked("When are oil stocks published each week?", "inventories_and_contango.md", "Wednesday"),
    Asked("What does an RSI above 70 mean?", "reading_indicators.md", "overbought"),
    Asked(
        "difference of VaR and expected shortfall", "reading_indicators.md", "Expected shortfall"
    ),
]


def test_known_answers_come_first_or_near_it() -> None:
    """Over thirty documents of several domains, seventy questions, most of them paraphrased."""
    corpus = documents()
    measured = measure(lambda query: search(query, corpus, DEPTH).hits, QUESTIONS)
    print(measured)  # noqa: T201  the figures, for whoever wants to see them
    assert measured.recall_1 >= 0.85
    assert measured.recall_3 >= 0.95
    assert measured.mrr >= 0.90
    assert measured.answered >= 0.80
    assert measured.pinned >= 0.65


def test_the_shipped_documents_answer_questions_about_the_market() -> None:
    """The reader of a market report gets what the documents know."""
    corpus = documents(PACKAGE_ROOT / "data" / "documents")
    measured = measure(lambda query: search(query, corpus, DEPTH).hits, _MARKET)
    print(measured)  # noqa: T201  see above
    assert measured.recall_1 >= 0.80
    assert measured.recall_3 >= 0.95


def test_it_does_better_than_the_plain_function() -> None:
    """On the same passages, SQLite's bm25() with Porter's stemmer puts fewer answers first."""
    corpus = documents()
    ours = measure(lambda query: search(query, corpus, DEPTH).hits, QUESTIONS)
    with PlainSearch(corpus) as plain:
        theirs = measure(plain.hits, QUESTIONS)
    print(theirs)  # noqa: T201  see above
    assert ours.recall_1 > theirs.recall_1
    assert ours.recall_3 > theirs.recall_3
    assert ours.mrr > theirs.mrr


@pytest.mark.parametrize("seed", [1, 2])
def test_ranks_do_not_depend_on_the_order_of_reading(seed: int) -> None:
    """The same folder gives the same answers, however its files are listed."""
    corpus = documents()
    turned = corpus[seed:] + corpus[:seed]
    for asked in QUESTIONS[::10]:
        assert search(asked.question, corpus, 5) == search(asked.question, turned[::-1], 5)


def test_a_measure_finds_a_wrong_answer() -> None:
    """The yardstick itself: a search that finds nothing scores nothing."""
    assert measure(lambda _: (), QUESTIONS).mrr == 0
    assert rank_of(QUESTIONS[0], ()) == 0


class PlainSearch:
    """SQLite's FTS5 over the same passages: any of the words, ordered by its bm25()."""

    def __init__(self, corpus: Sequence[Document]) -> None:
        """Take the documents."""
        self._base = sqlite3.connect(":memory:")
        self._base.execute(
            "CREATE VIRTUAL TABLE texts USING fts5"
            "(source UNINDEXED, title, heading, body, tokenize='porter unicode61')"
        )
        for one in corpus:
            for passage in passages(one):
                row = (one.source, one.title, heading(passage.headings, one.title), passage.text)
                self._base.execute("INSERT INTO texts VALUES (?, ?, ?, ?)", row)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the database."""
        self._base.close()

    def hits(self, query: str) -> list[Hit]:
        """Return what FTS5 finds."""
        words = " OR ".join(f'"{word}"' for word in re.findall(r"\w+", query))
        rows = self._base.execute(
            "SELECT source, title, body FROM texts WHERE texts MATCH ? ORDER BY rank LIMIT 10",
            [words],
        )
        return [
            Hit(rank=rank, score=0, source=source, title=title, passage=body)
            for rank, (source, title, body) in enumerate(rows, start=1)
        ]
