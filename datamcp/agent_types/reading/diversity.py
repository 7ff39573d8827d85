"""Chooses among ranked texts so that they do not all say the same. Pure.

Maximal marginal relevance (Carbonell & Goldstein 1998): the next one is that with the best score
after what it shares with those chosen before has been taken off. Texts that merely are about the
same lose nothing; a copy loses nearly all.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from datamcp.agent_types.reading.words import surfaces

ALIKE = 0.6  # of the words in common: from here on, a text loses
SAME = 0.95  # from here on, it is a copy
COPY = 0.1  # of its score, which a copy keeps
_SHORTEST = 4  # letters of a word that counts
_FEWEST = 5  # words below which two texts are compared as a whole


@dataclass(frozen=True, slots=True)
class Chosen:
    """One that was chosen: its number among those offered, and what its score has come to."""

    number: int
    score: float


def chosen(texts: Sequence[str], scores: Sequence[float], limit: int) -> list[Chosen]:
    """Choose at most `limit` of some texts, offered with the best first; scores fall."""
    bags = [_bag(text) for text in texts]
    likeness = [0.0] * len(texts)
    left = list(range(len(texts)))
    found: list[Chosen] = []
    while left and len(found) < limit:
        best = max(left, key=lambda number: (scores[number] * _kept(likeness[number]), -number))
        found.append(Chosen(best, scores[best] * _kept(likeness[best])))
        left.remove(best)
        for number in left:
            likeness[number] = max(likeness[number], alike(bags[number], bags[best]))
    return found


def _bag(text: str) -> frozenset[str]:
    return frozenset(word.casefold() for word in surfaces(text) if len(word) >= _SHORTEST)


def alike(one: frozenset[str], other: frozenset[str]) -> float:
    """Return the share of words in common, from 0 to 1: of the smaller text's, or of all words.

    A text that another one contains is a copy of a part of it, unless it is very short.
    """
    smaller = min(len(one), len(other))
    if not smaller:
        return 0.0
    return len(one & other) / (smaller if smaller >= _FEWEST else len(one | other))


def _kept(likeness: float) -> float:
    """Return which share of its score a text keeps."""
    if likeness <= ALIKE:
        return 1.0
    excess = min(1.0, (likeness - ALIKE) / (SAME - ALIKE))
    return 1.0 - excess * (1.0 - COPY)
