"""Which sentences say most of what all of them say: LexRank, and its form for a question. Pure.

Sentences are the nodes of a graph, and the likeness of two (the cosine of their tf-idf vectors) is
the weight of its edge. A sentence is central if central ones are like it: PageRank on that graph
(Erkan & Radev 2004, LexRank; Mihalcea & Tarau 2004, TextRank). Where a bias is given, the walk
returns to the sentences that it prefers (Otterbacher, Erkan & Radev 2009, Biased LexRank).
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from math import log, sqrt

Vector = Mapping[str, float]

_STEPS = 100
_TOLERANCE = 1e-9


def vectors(bags: Sequence[Sequence[str]]) -> list[Vector]:
    """Return the tf-idf vector of length 1 of each bag of words; an empty one has no direction."""
    having = Counter(word for bag in bags for word in set(bag))
    found: list[Vector] = []
    for bag in bags:
        weights = {
            word: count * (1 + log(len(bags) / having[word]))
            for word, count in sorted(Counter(bag).items())
        }
        length = sqrt(sum(weight * weight for weight in weights.values()))
        found.append({word: weight / length for word, weight in weights.items()})
    return found


def cosine(one: Vector, other: Vector) -> float:
    """Return how alike two vectors of length 1 are, from 0 to 1."""
    smaller, larger = (one, other) if len(one) <= len(other) else (other, one)
    return sum(weight * larger.get(word, 0.0) for word, weight in smaller.items())


def centrality(
    found: Sequence[Vector], bias: Sequence[float], damping: float = 0.85
) -> list[float]:
    """Return how central each vector is; the sum is 1.

    `bias` is where the walk goes when it does not follow an edge, which it does with the
    probability `damping`.
    """
    total = sum(bias)
    start = [value / total for value in bias] if total else [1 / len(bias)] * len(bias)
    edges = _edges(found)
    sums = [sum(row.values()) for row in edges]
    scores = start
    for _ in range(_STEPS):
        fresh = [(1 - damping) * value for value in start]
        for number, row in enumerate(edges):
            if not sums[number]:  # like no other: the walk goes on anywhere
                for other, value in enumerate(start):
                    fresh[other] += damping * scores[number] * value
                continue
            share = damping * scores[number] / sums[number]
            for other, weight in row.items():
                fresh[other] += share * weight
        change = sum(abs(a - b) for a, b in zip(fresh, scores, strict=True))
        scores = fresh
        if change < _TOLERANCE:
            break
    return scores


def _edges(found: Sequence[Vector]) -> list[dict[int, float]]:
    """Return the likeness of each vector to every other one that shares a word with it."""
    having: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
    edges: list[dict[int, float]] = [defaultdict(float) for _ in found]
    for number, vector in enumerate(found):
        for word, weight in vector.items():
            for other, its in having[word]:
                edges[number][other] += weight * its
                edges[other][number] += weight * its
            having[word].append((number, weight))
    return edges
