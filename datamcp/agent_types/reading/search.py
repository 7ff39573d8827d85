"""Searches documents for the passages that answer a question. Pure.

The steps: understand the question (`question`), count what the documents have of it (`index`), once
more with words they may have meant for those they lack (`spelling`), rank (`ranking`), and choose
without repeating (`diversity`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from datamcp.agent_types.reading.diversity import chosen
from datamcp.agent_types.reading.evidence import Weighed
from datamcp.agent_types.reading.index import indexed
from datamcp.agent_types.reading.passages import Sentence
from datamcp.agent_types.reading.question import Question, understood
from datamcp.agent_types.reading.ranking import Ranked, ranked
from datamcp.agent_types.reading.results import Hit, HitSentence
from datamcp.agent_types.reading.spelling import similar
from datamcp.agent_types.reading.words import words_of
from datamcp.errors import ProcessingError
from datamcp.processors.documents.document import Document

_OFFERED = 50  # passages from which hits are chosen, at least
_MOST_SENTENCES = 3
_PUNCTUATION = ".,;:!?…()[]{}<>|\"'“”„‘’«»*_`"  # noqa: RUF001
_GOOD = 0.55  # of the best sentence's score: another one as good is shown, too


@dataclass(frozen=True, slots=True)
class Answered:
    """The hits of a search, how many passages there are, and what else is to be told."""

    hits: tuple[Hit, ...]
    passages: int
    warnings: tuple[str, ...] = ()


def search(
    query: str,
    documents: Sequence[Document],
    limit: int,
    *,
    watched: Callable[[Iterable[Document]], Iterable[Document]] = lambda documents: documents,
) -> Answered:
    """Return the passages that answer a question, the best first; at most `limit`.

    `watched` is wrapped around the documents while they are looked through. ProcessingError for a
    query without any word.
    """
    question = understood(query)
    if not question.terms:
        raise ProcessingError(f"the query {query!r} has no words to search for")
    index = indexed(question, watched(documents))
    warnings: tuple[str, ...] = ()
    meant = similar(index)
    if meant.words:
        warnings = tuple(_told(question, term, words) for term, words in meant.words.items())
        index = indexed(question, watched(documents), meant)
    return Answered(tuple(_hits(ranked(index), limit)), index.passages, warnings)


def _told(question: Question, term: int, words: Sequence[str]) -> str:
    return f"no document has {question.terms[term].word!r}; searched for {', '.join(words)}"


def _hits(found: Sequence[Ranked], limit: int) -> Iterator[Hit]:
    offered = found[: max(_OFFERED, 4 * limit)]
    texts = [one.candidate.passage.text for one in offered]
    for rank, one in enumerate(chosen(texts, [one.score for one in offered], limit), start=1):
        yield _hit(rank, one.score, offered[one.number], texts[one.number])


def _hit(rank: int, score: float, found: Ranked, text: str) -> Hit:
    candidate, document = found.candidate, found.candidate.entry.document
    passage = candidate.passage
    best = max(found.sentences, key=lambda one: (one.score, -one.number), default=None)
    return Hit(
        rank=rank,
        score=round(score, 4),
        source=document.source,
        title=document.title,
        heading=heading(passage.headings, document.title),
        first_line=passage.first_line,
        last_line=passage.last_line,
        page=passage.page,
        passage=text,
        matched=tuple(_matched(text, [place for place, _ in candidate.occurrences])),
        sentences=tuple(_shown(one) for one in _good(found.sentences)),
        answer=best.sentence.text if best and best.score > 0 else "",
    )


def heading(headings: Sequence[str], title: str) -> str:
    """Return the headings above a passage in one line, without the title of its document."""
    return " > ".join(headings[1:] if headings[:1] == (title,) else headings)


def _matched(text: str, places: Sequence[int]) -> Iterator[str]:
    words = words_of(text)
    seen = set()
    for place in places:
        word = words[place].strip(_PUNCTUATION)
        if word.casefold() not in seen:
            seen.add(word.casefold())
            yield word


def _good(sentences: Sequence[Weighed]) -> list[Sentence]:
    """Return the best sentences in reading order."""
    ordered = sorted(sentences, key=lambda one: (-one.score, one.number))
    least = _GOOD * ordered[0].score if ordered else 0.0
    kept = [one for one in ordered[:_MOST_SENTENCES] if one.score > 0 and one.score >= least]
    return [one.sentence for one in sorted(kept, key=lambda one: one.number)]


def _shown(sentence: Sentence) -> HitSentence:
    return HitSentence(text=sentence.text, line=sentence.line, page=sentence.page)
