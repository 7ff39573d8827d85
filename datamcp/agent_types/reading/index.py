"""What some documents have of a question's terms: counts, lengths and places. Pure.

All that a question needs is counted while its documents are read once. Nothing is kept of words that
it does not ask for, so a folder needs no index that would have to be kept up to date.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from datamcp.agent_types.reading.language import language_of
from datamcp.agent_types.reading.matching import (
    OWN,
    Matcher,
    Occurrences,
    Similar,
    frequencies,
)
from datamcp.agent_types.reading.passages import Passage, passages
from datamcp.agent_types.reading.question import Question
from datamcp.processors.documents.document import Document

_SAMPLE_BLOCKS = 20  # of a document that tell its language


@dataclass(slots=True)
class Entry:
    """A document: how often its title and its text have each term, and how many words it has."""

    document: Document
    language: str
    title: list[float]
    body: list[float]
    length: int = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage that has at least one term, or whose headings or title have one.

    `place` is the document's and the passage's number; `occurrences` are in the passage itself.
    """

    place: tuple[int, int]
    entry: Entry
    passage: Passage
    length: int
    body: list[float]
    headings: list[float]
    occurrences: Occurrences


@dataclass(slots=True)
class Index:
    """What was counted: for all passages and documents, and for those with a term in detail.

    `having` tells for each term how many passages have it, `near` how many have at least a word that
    may stand for it, `documents_having` how many documents do, and `is_met` whether anything at all
    has it, a heading or a title, too.
    """

    question: Question
    entries: list[Entry] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)
    passages: int = 0
    words: int = 0
    having: list[int] = field(default_factory=list)
    near: list[int] = field(default_factory=list)
    documents_having: list[int] = field(default_factory=list)
    is_met: list[bool] = field(default_factory=list)
    matchers: dict[str, Matcher] = field(default_factory=dict)


def indexed(
    question: Question, documents: Iterable[Document], similar: Similar | None = None
) -> Index:
    """Count what some documents have of a question's terms."""
    index = Index(question)
    size = len(question.terms)
    index.having, index.near, index.documents_having = [0] * size, [0] * size, [0] * size
    index.is_met = [False] * size
    for document in documents:
        _add(index, document, similar)
    return index


def _add(index: Index, document: Document, similar: Similar | None) -> None:
    size = len(index.question.terms)
    language = language_of("\n".join(block.text for block in document.blocks[:_SAMPLE_BLOCKS]))
    if language not in index.matchers:
        index.matchers[language] = Matcher(index.question, language, similar)
    matcher = index.matchers[language]
    name = PurePosixPath(document.source).stem
    _, found = matcher.occurrences(f"{document.title}\n{name}")
    entry = Entry(document, language, _once(frequencies(found, size)), [0.0] * size)
    for candidate in _candidates(index, entry, matcher):
        for term, count in enumerate(candidate.body):
            entry.body[term] += count
            index.is_met[term] |= bool(count or candidate.headings[term] or entry.title[term])
        index.candidates.append(candidate)
    for term in range(size):
        index.documents_having[term] += entry.body[term] + entry.title[term] >= OWN
    index.entries.append(entry)


def _candidates(index: Index, entry: Entry, matcher: Matcher) -> Iterator[Candidate]:
    size, place = len(index.question.terms), len(index.entries)
    above: tuple[str, ...] = ()
    headings = [0.0] * size
    in_title = any(entry.title)
    for number, passage in enumerate(passages(entry.document)):
        if passage.headings != above:
            above = passage.headings
            _, found = matcher.occurrences("\n".join(above))
            headings = _once(frequencies(found, size))
        length, found = matcher.occurrences(passage.text)
        entry.length += length
        index.passages += 1
        index.words += length
        if not (found or in_title or any(headings)):
            continue
        body = frequencies(found, size)
        for term, best in enumerate(_best(found, size)):
            index.having[term] += best >= OWN
            index.near[term] += best > 0
        yield Candidate((place, number), entry, passage, length, body, headings, found)


def _once(counts: list[float]) -> list[float]:
    """Count a term of a title or heading once, however often it is repeated there."""
    return [min(count, 1.0) for count in counts]


def _best(occurrences: Occurrences, size: int) -> list[float]:
    """Return how well the best word for each term stands for it."""
    best = [0.0] * size
    for _, matches in occurrences:
        for term, weight in matches:
            best[term] = max(best[term], weight)
    return best
