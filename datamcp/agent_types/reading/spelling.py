"""Words of the documents that a question may mean by a word which none of them has. Pure.

They are one or two letters away from it (Damerau 1964: most misspellings are one insertion, omission,
substitution or transposition), or it is two of their words written in one, or they begin alike.
"""

from collections.abc import Iterable

from datamcp.agent_types.reading.index import Index
from datamcp.agent_types.reading.matching import Similar
from datamcp.agent_types.reading.words import pieces, surfaces

_SHORTEST = 4  # letters; shorter words are near too many others
_LONG = 8  # letters from which two may be wrong
_MOST = 3  # words for one term
_SHORTEST_FIRST, _SHORTEST_LAST = 2, 4  # letters of the parts of a compound
_SHORTEST_START = 5
_JOINTS = ("", "s", "es", "n", "en")  # what German and Dutch put between the parts of a word


def similar(index: Index) -> Similar:
    """Return what the terms that no text has may mean."""
    lost = [
        (number, term.word)
        for number, term in enumerate(index.question.terms)
        if not index.is_met[number]
    ]
    wanted = [(number, word) for number, word in lost if word.isalpha() and len(word) >= _SHORTEST]
    if not wanted:
        return Similar()
    known = _vocabulary(index)
    found = {
        number: _near(word, known) or _parts(word, known) or _beginning(word, known)
        for number, word in wanted
    }
    return Similar({number: words for number, words in found.items() if words})


def _vocabulary(index: Index) -> frozenset[str]:
    met = (word for matcher in index.matchers.values() for word in matcher.vocabulary())
    found = (piece for word in met for surface in surfaces(word) for piece in pieces(surface))
    return frozenset(piece for piece in found if piece.isalpha())


def _near(word: str, known: Iterable[str]) -> tuple[str, ...]:
    most = 1 if len(word) < _LONG else 2
    found = []
    for other in known:
        if other[0] == word[0] and abs(len(other) - len(word)) <= most:
            distance = edits(word, other, most)
            if distance <= most:
                found.append((distance, other))
    nearest = min(found, default=(0, ""))[0]
    return tuple(other for distance, other in sorted(found) if distance == nearest)[:_MOST]


def _parts(word: str, known: frozenset[str]) -> tuple[str, ...]:
    for at in range(len(word) - _SHORTEST_LAST, _SHORTEST_FIRST - 1, -1):
        first, last = word[:at], word[at:]
        if last in known:
            for joint in _JOINTS:
                stem = first.removesuffix(joint)
                if len(stem) >= _SHORTEST_FIRST and stem in known:
                    return (stem, last)
    return ()


def _beginning(word: str, known: Iterable[str]) -> tuple[str, ...]:
    """Return the words that begin as a long word does, those first that do so the longest."""
    start = word[: max(_SHORTEST_START, (len(word) + 1) // 2)]
    found = [other for other in known if other.startswith(start)]
    return tuple(sorted(found, key=lambda one: (-_shared(word, one), len(one), one))[:_MOST])


def _shared(one: str, other: str) -> int:
    return next(
        (at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )


def edits(one: str, other: str, most: int) -> int:
    """Return how many letters are to be inserted, left out, replaced or swapped; most + 1 if more."""
    before: list[int] = []
    last = list(range(len(other) + 1))
    for row, letter in enumerate(one, start=1):
        current = [row]
        for column, another in enumerate(other, start=1):
            cost = min(
                last[column] + 1, current[column - 1] + 1, last[column - 1] + (letter != another)
            )
            is_swap = (
                row > 1 and column > 1 and letter == other[column - 2] and one[row - 2] == another
            )
            current.append(min(cost, before[column - 2] + 1) if is_swap else cost)
        if min(current) > most:
            return most + 1
        before, last = last, current
    return min(last[-1], most + 1)
