"""Puts passages in order: those first that are most likely to answer a question. Pure.

A passage's score is the sum of

- BM25F over its text, its headings and its document's title (Robertson, Zaragoza & Taylor 2004):
  what a heading says counts as if the text said it a little;
- a share of its document's own BM25: a passage of a document that is about the question goes before
  one that mentions it in passing (Callan 1994);
- pairs of terms that stand beside each other as in the question, or near each other (the sequential
  dependence model, Metzler & Croft 2005), and phrases in quotes;
- how well its best sentence answers (`evidence`).

Everything is a sum over the terms, each weighed by its idf. Equal scores are ordered by the place of
the passage: by its document's path, then by its number.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from datamcp.agent_types.reading.bm25 import idf, normalized, saturated
from datamcp.agent_types.reading.evidence import Weighed, promised, weighed
from datamcp.agent_types.reading.index import Candidate, Index
from datamcp.agent_types.reading.matching import Match

HEADINGS = 0.6  # of an occurrence in the text
TITLE = 0.5
DOCUMENT = 0.3  # of the document's score
ORDERED = 0.25  # of the mean idf of two terms that stand together as in the question
NEAR = 0.1  # of two terms that stand near each other
WINDOW = 8  # words that are near
EVIDENCE = 0.6  # of the sum of all weights, for a sentence that has all
PROMISE = 0.15  # of the sum of all weights, for a heading that promises the kind of answer
PHRASE = 1.0  # of the sum of all weights
FOREIGN = 0.8  # of the score, which a passage in another language than the question's keeps
DEPTH = 200  # passages whose words are looked at more closely


@dataclass(frozen=True, slots=True)
class Ranked:
    """A passage, its score, and its sentences with how well each of them answers."""

    candidate: Candidate
    score: float
    sentences: tuple[Weighed, ...]


def term_weights(index: Index) -> list[float]:
    """Return what each term is worth: its idf, less for one that says little.

    One that nothing has tells nothing apart.
    """
    return [
        term.weight * idf(index.having[number] or index.near[number], index.passages)
        if index.is_met[number]
        else 0.0
        for number, term in enumerate(index.question.terms)
    ]


def ranked(index: Index) -> list[Ranked]:
    """Return the passages that have something of the question, the best first."""
    weights = term_weights(index)
    documents = _document_scores(index)
    average = index.words / index.passages if index.passages else 0.0
    scores = (
        _text_score(one, weights, average) + DOCUMENT * documents[one.place[0]]
        for one in index.candidates
    )
    first = sorted(zip(scores, index.candidates, strict=True), key=_order)[:DEPTH]
    patterns = [_pattern(phrase) for phrase in index.question.phrases]
    again = [_looked_at(index, score, one, weights, patterns) for score, one in first]
    return sorted(again, key=lambda one: _order((one.score, one.candidate)))


def _order(scored: tuple[float, Candidate]) -> tuple[float, str, int]:
    score, candidate = scored
    return -round(score, 9), candidate.entry.document.source, candidate.place[1]


def _text_score(candidate: Candidate, weights: Sequence[float], average: float) -> float:
    score = 0.0
    for weight, body, heading, title in zip(
        weights, candidate.body, candidate.headings, candidate.entry.title, strict=True
    ):
        frequency = normalized(body, candidate.length, average) + HEADINGS * heading + TITLE * title
        score += weight * saturated(frequency)
    return score


def _document_scores(index: Index) -> list[float]:
    total = len(index.entries)
    average = index.words / total if total else 0.0
    weights = [
        term.weight * idf(index.documents_having[number], total)
        for number, term in enumerate(index.question.terms)
    ]
    return [
        sum(
            weight * saturated(normalized(body, entry.length, average) + title)
            for weight, body, title in zip(weights, entry.body, entry.title, strict=True)
        )
        for entry in index.entries
    ]


def _looked_at(
    index: Index,
    score: float,
    candidate: Candidate,
    weights: Sequence[float],
    patterns: Sequence[re.Pattern[str]],
) -> Ranked:
    total = sum(weights)
    sentences = weighed(
        index.question, candidate.passage, index.matchers[candidate.entry.language], weights
    )
    best = max((one.score for one in sentences), default=0.0)
    score += EVIDENCE * total * best + _together(index, candidate, weights)
    if promised(index.question, candidate.passage.headings[1:]):
        score += PROMISE * total
    if patterns:
        text = f"{candidate.passage.text}\n{' '.join(candidate.passage.headings)}"
        score += PHRASE * total * sum(bool(one.search(text)) for one in patterns) / len(patterns)
    if candidate.entry.language != index.question.language:
        score *= FOREIGN
    return Ranked(candidate, score, tuple(sentences))


def _pattern(phrase: str) -> re.Pattern[str]:
    words = re.findall(r"\w+", phrase)
    return re.compile(r"\b" + r"\W{1,3}".join(map(re.escape, words)) + r"\b", re.IGNORECASE)


def _together(index: Index, candidate: Candidate, weights: Sequence[float]) -> float:
    terms = index.question.terms
    places = _places(candidate.occurrences, len(terms))
    score = 0.0
    for one in range(len(terms) - 1):
        other = one + 1
        weight = min(weights[one], weights[other])
        gap = max(1, terms[other].position - terms[one].position)
        ordered, near = _pairs(places[one], places[other], gap)
        score += weight * (ORDERED * saturated(ordered) + NEAR * saturated(near))
    return score


def _places(
    occurrences: Sequence[tuple[int, tuple[Match, ...]]], terms: int
) -> list[list[tuple[int, float]]]:
    places: list[list[tuple[int, float]]] = [[] for _ in range(terms)]
    for place, matches in occurrences:
        for term, quality in matches:
            places[term].append((place, quality))
    return places


def _pairs(
    one: Sequence[tuple[int, float]], other: Sequence[tuple[int, float]], gap: int
) -> tuple[float, float]:
    """Return how often two terms stand together in order, and near each other in any."""
    ordered = near = 0.0
    for place, quality in one:
        for second, another in other:
            distance = second - place
            if abs(distance) <= WINDOW:
                near += quality * another
                if 0 <= distance <= gap:
                    ordered += quality * another
    return ordered, near
