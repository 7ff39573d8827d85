"""Chooses the sentences that say most of what some texts say, word for word. Pure.

Sentences of prose are ranked by how central they are (`centrality`), those near the start of a text
and, with a question, those that answer it having more weight. They are then taken one by one, each
with what it repeats of those before it taken off (Carbonell & Goldstein 1998), and put into reading
order. Headings, tables and code are never taken; items of lists only where prose does not suffice.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from datamcp.agent_types.reading.centrality import Vector, centrality, cosine, vectors
from datamcp.agent_types.reading.language import STOP_WORDS
from datamcp.agent_types.reading.passages import Sentence
from datamcp.agent_types.reading.words import Stems, pieces, surfaces
from datamcp.processors.documents.document import BlockKind

MOST = 500  # sentences that are compared with each other; of more, the most promising ones

_FEWEST_WORDS = 5
_SHORT_WORD = 3  # letters
_MANY_WORDS = 45
_LEAD = 1.0  # what the first sentence of a text has over the last
_REPEATED = 0.5  # of the best score, taken from a sentence for repeating another one
_COPY = 0.9  # likeness from which a sentence says nothing more
_DAMPING, _DAMPING_FOR_QUESTION = 0.85, 0.3
_DANGLES = 0.75  # of its score, which a sentence keeps that refers to one before it
_ASKS = 0.5  # that a question keeps
_LONG = 0.8  # that a very long sentence keeps

_END = re.compile(r"[.!?…。！？।؟][\"'”’»)\]]*$")  # noqa: RUF001
_DANGLING = re.compile(
    r"(?:he|she|it|they|this|these|those|that|such|his|her|their|its|however|but|and|or|so|also|then"
    r"|thus|therefore|moreover|furthermore|nevertheless|in addition|as a result|for example|instead"
    r"|meanwhile|otherwise|consequently|here|there)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Told:
    """A sentence that may be chosen.

    `order` is the number of its text, of the passage there, and of the sentence in it; `position` is
    from 0, at the start of the text, to 1; `relevance`, from 0, is how well it answers the question.
    """

    order: tuple[int, int, int]
    sentence: Sentence
    language: str
    headings: tuple[str, ...] = ()
    position: float = 0.0
    relevance: float = 0.0


@dataclass(frozen=True, slots=True)
class Picked:
    """A chosen sentence; its score is from 0 to 1, which is that of the best one."""

    told: Told
    score: float


def summarized(told: Sequence[Told], count: int, *, has_question: bool = False) -> list[Picked]:
    """Choose at most `count` sentences, in reading order."""
    offered = _prose(told, count)
    if not offered:
        return []
    if len(offered) > MOST:
        offered = _promising(offered, has_question=has_question)
    words = vectors(_bags(offered))
    scores = _scores(offered, words, has_question=has_question)
    picked = _apart(words, scores, count)
    found = [Picked(offered[number], round(scores[number], 4)) for number in picked]
    return sorted(found, key=lambda one: one.told.order)


def _prose(told: Sequence[Told], count: int) -> list[Told]:
    """Return what reads as a sentence: of paragraphs and, if those are too few, of lists."""
    sentences = [one for one in told if is_sentence(one.sentence.text)]
    prose = [one for one in sentences if one.sentence.kind is BlockKind.PARAGRAPH]
    if len(prose) >= count:
        return prose
    kinds = {BlockKind.PARAGRAPH, BlockKind.ITEM}
    with_items = [one for one in sentences if one.sentence.kind in kinds]
    # A text without a single sentence is told by its lines.
    return with_items or [one for one in told if one.sentence.kind in kinds]


def is_sentence(text: str) -> bool:
    """Tell whether a text reads as a sentence of prose."""
    return (
        _END.search(text) is not None
        and "|" not in text
        and (text.count(" ") >= _FEWEST_WORDS - 1 or not text.isascii())
        and sum(map(str.isalpha, text)) > len(text) / 2
    )


def _bags(offered: Sequence[Told]) -> list[list[str]]:
    """Return the stems of each sentence, without stop words."""
    known: dict[tuple[str, str], str] = {}
    stems = {language: Stems(language) for language in sorted({one.language for one in offered})}

    def stem(surface: str, language: str) -> str:
        found = known.get((surface, language))
        if found is None:
            piece = next(iter(pieces(surface)), "")
            is_stop = piece in STOP_WORDS[language]
            found = known[surface, language] = "" if is_stop else stems[language].of(piece)
        return found

    return [
        [found for word in surfaces(one.sentence.text) if (found := stem(word, one.language))]
        for one in offered
    ]


def _promising(offered: Sequence[Told], *, has_question: bool) -> list[Told]:
    """Return the sentences worth comparing, in order.

    They are the relevant ones or, without a question, those with the words that all sentences have
    most of (Nenkova & Vanderwende 2005, SumBasic).
    """
    if has_question:
        promise = [one.relevance for one in offered]
    else:
        bags = [_long_words(one) for one in offered]
        having = Counter(word for bag in bags for word in bag)
        promise = [
            sum(having[word] for word in bag)
            / sqrt(len(bag) + 1)
            * _lead(one)
            * _fitness(one.sentence.text)
            for one, bag in zip(offered, bags, strict=True)
        ]
    best = sorted(range(len(offered)), key=lambda number: (-promise[number], number))
    return [offered[number] for number in sorted(best[:MOST])]


def _long_words(told: Told) -> set[str]:
    stops = STOP_WORDS[told.language]
    words = told.sentence.text.lower().split()
    return {word for word in words if len(word) > _SHORT_WORD and word not in stops}


def _lead(told: Told) -> float:
    return 1 + _LEAD * (1 - told.position) ** 2


def _scores(offered: Sequence[Told], words: Sequence[Vector], *, has_question: bool) -> list[float]:
    """Return how much each sentence says of all of them, 1 for the best."""
    bias = [_lead(one) for one in offered]
    if has_question:
        bias = [one.relevance**2 * lead**0.5 for one, lead in zip(offered, bias, strict=True)]
    damping = _DAMPING_FOR_QUESTION if has_question else _DAMPING
    # An answer may refer to what was said before; it is an answer all the same.
    strictness = 0.5 if has_question else 1.0
    found = [
        score * _fitness(one.sentence.text) ** strictness
        for score, one in zip(centrality(words, bias, damping), offered, strict=True)
    ]
    best = max(found) or 1.0
    return [score / best for score in found]


def _fitness(text: str) -> float:
    """Return how well a sentence stands alone, from 0 to 1."""
    fitness = _DANGLES if _DANGLING.match(text) else 1.0
    if text.endswith("?"):
        fitness *= _ASKS
    return fitness * (_LONG if text.count(" ") > _MANY_WORDS else 1.0)


def _apart(words: Sequence[Vector], scores: Sequence[float], count: int) -> list[int]:
    """Return the numbers of the sentences with the best scores that do not repeat each other."""
    repeated = [0.0] * len(words)
    left = set(range(len(words)))
    picked: list[int] = []

    def worth(number: int) -> tuple[float, int]:
        return scores[number] - _REPEATED * repeated[number], -number

    while left and len(picked) < count:
        number = max(left, key=worth)
        left.remove(number)
        if repeated[number] >= _COPY:
            continue
        picked.append(number)
        for other in left:
            repeated[other] = max(repeated[other], cosine(words[other], words[number]))
    return picked
