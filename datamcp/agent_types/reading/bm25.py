"""The BM25 function (Robertson & Zaragoza 2009, The Probabilistic Relevance Framework). Pure.

A word counts the more, the rarer it is (`idf`), and the more often it stands in a text, but ever less
so with each occurrence (`saturated`), and less in a long text than in a short one (`normalized`).
SQLite's FTS5 computes the same with k1 = 1.2 and b = 0.75, but for an idf that it does not let fall
below zero in another way.
"""

from math import log

K1 = 0.9
B = 0.75


def idf(having: float, total: float) -> float:
    """Return how much a word tells that `having` of `total` texts have; always above zero.

    It is log(1 + odds), as in Lucene, so that a word of most texts still counts for something.
    """
    return log(1 + (total - having + 0.5) / (having + 0.5))


def normalized(frequency: float, length: float, average: float, b: float = B) -> float:
    """Return how often a word stands in a text, as if the text were of average length."""
    return frequency / (1 - b + b * length / average) if average else frequency


def saturated(frequency: float, k1: float = K1) -> float:
    """Return what a normalized frequency counts: 0 for none, 1 for one, k1 + 1 at most."""
    return frequency * (k1 + 1) / (frequency + k1)
