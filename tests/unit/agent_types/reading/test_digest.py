"""Summaries: which sentences are chosen, and where they say they are from."""

from hypothesis import given
from hypothesis import strategies as st

from datamcp.agent_types.reading.digest import digest
from datamcp.agent_types.reading.summary import is_sentence
from datamcp.errors import ProcessingError
from datamcp.processors.documents.document import Document
from datamcp.processors.documents.reader import document

_TEXT = """\
# The harbour

The harbour of Brackwater was built by engineers in 1872.

- a list item, which is not prose
- Another item, which reads as a sentence of its own.

| a table | with cells |
| --- | --- |
| The harbour was | never a row. |

```
The harbour was code in this block of text.
```

## Trade

Timber and grain were the trade of the harbour for a hundred years. It rained on
Tuesday in another town. The engineers of the harbour had built two locks for the timber trade.

## Weather

Is the weather in the harbour always as bad as people say it is?
"""
_SENTENCE = st.lists(
    st.sampled_from(["oil", "price", "fell", "rose", "year", "the"]), min_size=5, max_size=9
)
_SENTENCES = st.lists(_SENTENCE.map(lambda words: f"{' '.join(words).capitalize()}."), max_size=12)


def doc(text: str, name: str = "a.md") -> Document:
    """Return a Markdown document."""
    return document(text.encode(), name)


def chosen(count: int, query: str = "", *texts: str) -> list[str]:
    """Return the sentences of a summary of some texts."""
    documents = [doc(text, f"{number}.md") for number, text in enumerate(texts or [_TEXT])]
    return [one.text for one in digest(documents, count, query).sentences]


def test_only_prose_is_chosen_in_reading_order() -> None:
    """No heading, table, code or list as long as there are sentences enough."""
    assert chosen(3) == [
        "The harbour of Brackwater was built by engineers in 1872.",
        "Timber and grain were the trade of the harbour for a hundred years.",
        "The engineers of the harbour had built two locks for the timber trade.",
    ]
    every = chosen(50)
    assert "Another item, which reads as a sentence of its own." in every
    assert not any("row" in one or "code" in one or "not prose" in one for one in every)


def test_a_sentence_knows_where_it_is_from() -> None:
    """Source, title, heading and line; each source is listed, cited or not."""
    found = digest([doc(_TEXT, "x/h.md"), doc("Nothing of it.", "y.md")], 3)
    last = found.sentences[-1]
    assert (last.source, last.title, last.heading, last.line) == (
        "x/h.md",
        "The harbour",
        "Trade",
        19,
    )
    assert [(one.source, one.is_cited) for one in found.sources] == [
        ("x/h.md", True),
        ("y.md", False),
    ]
    assert max(one.score for one in found.sentences) == 1.0


def test_a_question_turns_the_choice() -> None:
    """What bears on it is preferred to what is central."""
    assert chosen(1, "On which day did it rain?") == ["It rained on Tuesday in another town."]
    assert chosen(1, "zebra") == chosen(1)


def test_nothing_is_said_twice() -> None:
    """Copies of a sentence in several documents are one."""
    one = "The price of oil fell in the spring of the year."
    other = "A lighthouse stood on the head of the bay for ages."
    assert sorted(chosen(5, "", one, one, f"{one} {other}", other)) == sorted([one, other])


def test_many_documents_all_have_a_say() -> None:
    """The middle of several texts is what they share."""
    others = ("Cows graze here.", "A singer won the prize.", "Rain is due.", "Shops close early.")
    texts = [f"{other} The reactor was shut down for long repairs." for other in others]
    assert chosen(1, "", *texts) == ["The reactor was shut down for long repairs."]


def test_texts_without_sentences_give_what_they_have() -> None:
    """Lines of a list, or nothing at all."""
    assert chosen(2, "", "- one thing\n- two things\n- three things") != []
    assert chosen(2, "", "```\ncode\n```") == []
    assert chosen(2, "", "") == []


def test_a_long_text_is_told_by_more_than_its_beginning() -> None:
    """Thousands of sentences are more than can be compared, and the important one comes late."""
    filler = [f"Item {n} of lot {n} has colour {n} and weight {n}." for n in range(3_000)]
    filler[2_500] = "The colour and weight of each item and lot decide about its price."
    found = chosen(5, "", " ".join(filler))
    assert len(found) == 5


@given(
    st.lists(_SENTENCES, min_size=1, max_size=4),
    st.integers(1, 6),
    st.sampled_from(["", "oil price"]),
)
def test_sentences_are_those_of_their_source(
    texts: list[list[str]], count: int, query: str
) -> None:
    """Word for word, each once, in the order of the documents and of their lines."""
    documents = [doc("\n\n".join(text), f"{number}.md") for number, text in enumerate(texts)]
    found = digest(documents, count, query).sentences
    assert len(found) <= count
    places = []
    for one in found:
        number = int(one.source.removesuffix(".md"))
        assert one.line is not None
        assert texts[number][(one.line - 1) // 2] == one.text
        places.append((number, one.line))
    assert places == sorted(set(places))


@given(st.text(max_size=400), st.text(max_size=30))
def test_any_text_can_be_summarized(text: str, query: str) -> None:
    """Whatever it is, sentences are from it, and the same each time."""
    try:
        documents = [doc(text.encode(errors="ignore").decode() or "x", "a.txt")]
    except ProcessingError as refused:
        assert "binary" in str(refused)  # noqa: PT017  most of what is made is no such text
        return
    if len(documents[0].blocks) == 0:
        return
    found = digest(documents, 3, query if any(char.isalnum() for char in query) else "")
    assert found == digest(documents, 3, query if any(char.isalnum() for char in query) else "")


def test_what_reads_as_a_sentence() -> None:
    """It has some words, most of it is letters, and it ends as a sentence does."""
    assert is_sentence("The price fell by half in May.")
    assert is_sentence('"It fell by half," she told us.')
    assert not is_sentence("The price fell by half in May")
    assert not is_sentence("Too short.")
    assert not is_sentence("1 2 3 4 5 6 7 8 9 a.")
    assert not is_sentence("a | b | c | d | e | f.")
