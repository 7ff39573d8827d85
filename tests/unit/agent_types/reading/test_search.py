"""Searching documents: what comes first, what a hit says, and what does not matter."""

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamcp.agent_types.reading.results import Hit
from datamcp.agent_types.reading.search import search
from datamcp.errors import ProcessingError
from datamcp.processors.documents.document import Document
from datamcp.processors.documents.reader import document

_WORDS = ["oil", "gas", "coal", "price", "fell", "rose", "market", "demand", "year", "tank"]


def docs(**texts: str) -> list[Document]:
    """Return Markdown documents by name."""
    return [document(text.encode(), f"{name}.md") for name, text in texts.items()]


def hits(query: str, documents: Sequence[Document], limit: int = 10) -> list[Hit]:
    """Return the hits of a search."""
    return list(search(query, documents, limit).hits)


def sources(query: str, documents: Sequence[Document], limit: int = 10) -> list[str]:
    """Return the names of the documents of the hits."""
    return [hit.source.removesuffix(".md") for hit in hits(query, documents, limit)]


PUMP = """\
# The pump

Some words about pumps in general.

## Winter

Drain it before the first frost. Ice breaks
the housing in 2 hours.

## Noise

It hums.
"""


def test_a_hit_tells_where_it_is_and_what_answers() -> None:
    """Source, title, headings, lines, the passage, the words that matched, the best sentence."""
    (hit, *_) = hits(
        "How many hours until ice breaks the housing?", docs(pump=PUMP, other="Nothing.")
    )
    assert hit.rank == 1
    assert (hit.source, hit.title, hit.heading) == ("pump.md", "The pump", "Winter")
    assert (hit.first_line, hit.last_line, hit.page) == (7, 8, None)
    assert hit.passage == "Drain it before the first frost. Ice breaks the housing in 2 hours."
    assert hit.matched == ("Ice", "breaks", "housing", "hours")
    assert hit.answer == "Ice breaks the housing in 2 hours."
    assert [(one.text, one.line) for one in hit.sentences][-1] == (hit.answer, 7)


def test_what_has_nothing_of_the_question_is_no_hit() -> None:
    """No answer is better than any."""
    found = search("zebra crossing", docs(a="Oil and gas.", b="Coal."), 5)
    assert found.hits == ()
    assert found.passages == 2


@pytest.mark.parametrize("query", ["", "  ", "?!", "…"])
def test_a_query_without_words_is_refused(query: str) -> None:
    """There is nothing to look for."""
    with pytest.raises(ProcessingError, match="no words"):
        search(query, docs(a="text"), 5)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("When was it founded?", "The firm was established in 1901."),
        ("invasion of Kuwait", "Troops invaded Kuwait."),
        ("timeout of a request", "The request has a time-out."),
        ("time out of a request", "The timeout ends a request."),
        ("e-mail address", "Your email and its address."),
        ("cafe in Zurich", "A café in Zürich."),
        ("why did prices rise", "Prices rose because of the war."),
        ("Who was born in Rome?", "She was born at Rome."),
        ("11 July 2008", "It happened on 2008-07-11."),
        ("three barrels", "There were 3 barrels."),
        ("U.S. exports", "Exports of the US grew."),
        ("1000 wells", "There are 1,000 wells."),
        ("petrolium refinery", "The petroleum refinery burned."),
        ("Ölpreis", "Der Preis für Öl ist hoch, und das nicht erst seit heute."),
        ("東京の人口", "東京の人口は多い。"),
        ("цены на нефть", "Цена нефти упала, и это было не так плохо для всех."),
    ],
)
def test_other_forms_of_the_words_are_found(query: str, text: str) -> None:
    """Inflected, related, joined, accented, abbreviated, misspelled, in any script."""
    noise = docs(x="Nothing of the kind is here.", y="Bread and butter, milk and honey.")
    assert sources(query, [*noise, *docs(wanted=text)])[:1] == ["wanted"]


def test_a_misspelled_word_is_told() -> None:
    """The reader learns what was searched for instead."""
    found = search("pertoleum", docs(a="All about petroleum."), 5)
    assert found.warnings == ("no document has 'pertoleum'; searched for petroleum",)


def test_quoted_words_go_together() -> None:
    """A phrase outweighs its words apart."""
    apart = "War brought no peace. Peace came and war went, peace and war, war and peace talks."
    found = sources('"peace war"', docs(a=apart, b="Here stands peace war, once."))
    assert found[0] == "b"


def test_words_near_each_other_count_more() -> None:
    """All else being equal."""
    filler = "one two three four five six seven eight nine ten eleven twelve"
    near = f"Oil demand {filler}."
    far = f"Oil {filler} demand."
    assert sources("oil demand", docs(a=far, b=near)) == ["b", "a"]


def test_headings_and_titles_count() -> None:
    """What a part is about need not be repeated in it."""
    texts = docs(
        a="# Wells\n\n## Cost\n\nIt is ten a day.",
        b="# Wells\n\n## Depth\n\nIt is ten a day.",
    )
    assert sources("depth of wells", texts)[0] == "b"


def test_a_document_about_it_goes_before_one_that_mentions_it() -> None:
    """The same passage is worth more where all others are about it, too."""
    same = "The price of oil fell."
    about = f"{same}\n\n## More\n\nOil again.\n\n## Still more\n\nOil and oil."
    mention = f"{same}\n\n## More\n\nBread again.\n\n## Still more\n\nBread and milk."
    found = [
        hit.source for hit in hits("oil price", docs(a=mention, b=about)) if "fell" in hit.passage
    ]
    assert found == ["b.md"] or found[0] == "b.md"


def test_hits_do_not_repeat_each_other() -> None:
    """Of copies, only one stands before what says something else."""
    text = "The price of oil fell by half in the spring of that year, said the ministry."
    other = "A barrel of oil has 159 litres, and its price is told in dollars."
    found = sources("price of oil", docs(a=text, b=text, c=text, d=other), limit=2)
    assert found == ["a", "d"]
    assert len(sources("price of oil", docs(a=text, b=text), limit=5)) == 2


def test_a_question_in_one_language_prefers_texts_in_it() -> None:
    """Where the same name stands in both."""
    texts = docs(
        en="The museum of Basel is open on Sundays, and it is near the bridge.",
        de="Das Museum in Basel ist am Sonntag offen, und es ist nicht weit von der Brücke.",
    )
    assert sources("Wann ist das Museum in Basel offen?", texts)[0] == "de"
    assert sources("When is the museum in Basel open?", texts)[0] == "en"


# Laws.

_TEXTS = st.lists(
    st.lists(st.sampled_from(_WORDS), min_size=1, max_size=30).map(
        lambda words: " ".join(words) + "."
    ),
    min_size=1,
    max_size=8,
)
_QUERIES = st.lists(st.sampled_from(_WORDS), min_size=1, max_size=4).map(" ".join)


def _named(texts: Sequence[str]) -> list[Document]:
    return [document(text.encode(), f"{number}.txt") for number, text in enumerate(texts)]


@given(_TEXTS, _QUERIES, st.randoms(use_true_random=False))
def test_the_order_of_the_documents_does_not_matter(
    texts: list[str], query: str, chance: random.Random
) -> None:
    """Ranks, scores and ties are the same in any order."""
    documents = _named(texts)
    shuffled = documents.copy()
    chance.shuffle(shuffled)
    assert hits(query, documents) == hits(query, shuffled)


@given(_TEXTS, st.sampled_from(_WORDS))
def test_a_document_without_the_word_changes_no_order(texts: list[str], query: str) -> None:
    """For one word, whose idf is a factor of all scores, if lengths stay what they are on average.

    That is all that such a document changes: how many texts there are, and their mean length.
    """
    width = max(len(text.split()) for text in texts)
    padded = [f"{text[:-1]}{' filler' * (width - len(text.split()))}." for text in texts]
    before = hits(query, _named(padded), limit=20)
    stranger = document(f"{'filler ' * width}".strip().encode() + b".", "stranger.txt")
    after = hits(query, [*_named(padded), stranger], limit=20)
    assert [hit.source for hit in after] == [hit.source for hit in before]


@given(_TEXTS, _QUERIES, st.integers(1, 5))
def test_a_limit_cuts_and_changes_nothing_else(texts: list[str], query: str, limit: int) -> None:
    """Scores fall from rank to rank, and ranks count from 1."""
    documents = _named(texts)
    every = hits(query, documents, limit=50)
    assert hits(query, documents, limit) == every[:limit]
    assert [hit.rank for hit in every] == list(range(1, len(every) + 1))
    assert all(one.score >= other.score for one, other in pairwise(every))


@given(_TEXTS, _QUERIES)
def test_what_is_shown_is_in_the_document(texts: list[str], query: str) -> None:
    """Passages, sentences and matched words are taken from it word for word."""
    for hit in hits(query, _named(texts)):
        text = texts[int(hit.source.removesuffix(".txt"))]
        assert hit.passage == text
        assert all(one.text in text for one in hit.sentences)
        assert hit.answer in text
        assert all(word in text.split() or f"{word}." in text for word in hit.matched)


@given(st.text(max_size=60), st.text(max_size=300))
def test_any_question_of_any_text_has_an_end(query: str, text: str) -> None:
    """Nothing that a person types brings it down."""
    try:
        found = document(text.encode(errors="ignore"), "a.md")
        search(query, [found], 5)
    except ProcessingError as error:
        assert "no words" in str(error) or "binary" in str(error)  # noqa: PT017  either is fine
