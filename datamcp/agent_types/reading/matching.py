"""Which words of a text stand for which terms of a question, and how well. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from datamcp.agent_types.reading.forms import IRREGULAR
from datamcp.agent_types.reading.language import ENGLISH
from datamcp.agent_types.reading.question import Question
from datamcp.agent_types.reading.thesaurus import relatives, synonyms
from datamcp.agent_types.reading.words import (
    Stems,
    pieces,
    surfaces,
    without_accents,
    words_of,
)

EXACT = 1.0
STEM = 0.9  # another form of the word
RELATIVE = 0.7  # another part of speech
SYNONYM = 0.2
SIMILAR = 0.6  # a word that the question's may be a misspelling of
OWN = 0.7  # from here on, an occurrence is one of the term itself

_KEPT = 2  # letters at the start of a word that no rule of the English stemmer changes

Match = tuple[int, float]
"""A term, by its place in the question, and how well a word stands for it, from 0 to 1."""

Occurrences = list[tuple[int, tuple[Match, ...]]]
"""Words of a text that stand for terms: their places in it, and what they match."""


@dataclass(frozen=True, slots=True)
class Similar:
    """Words of the documents that a term which they lack may mean, by term."""

    words: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


class Matcher:
    """Finds the terms of a question in texts of one language. Not to be shared between threads."""

    def __init__(self, question: Question, language: str, similar: Similar | None = None) -> None:
        """Take the question, the language of the texts, and what stands for terms they lack."""
        self._stems = Stems(language)
        self._pieces: dict[str, dict[int, float]] = {}
        self._by_stem: dict[str, dict[int, float]] = {}
        self._initials: set[str] = set()
        self._known = _Known(self._match)
        self._is_english = is_english = language == ENGLISH
        for number, term in enumerate(question.terms):
            if is_english:
                for word in synonyms(term.word, self._stems):
                    self._add(number, word, SYNONYM, SYNONYM)
                for word in relatives(term.word, self._stems):
                    self._add(number, word, RELATIVE, RELATIVE)
            for word in (similar or Similar()).words.get(number, ()):
                self._add(number, word, SIMILAR, SIMILAR)
            for word in (*term.joined, term.word):
                self._add(number, word, EXACT, STEM)

    def _add(self, term: int, word: str, exact: float, stem: float) -> None:
        found = self._pieces.setdefault(word, {})
        found[term] = max(found.get(term, 0.0), exact)
        found = self._by_stem.setdefault(self._stems.of(word), {})
        found[term] = max(found.get(term, 0.0), stem)
        self._initials.add(self._stems.of(word)[:_KEPT])

    def occurrences(self, text: str) -> tuple[int, Occurrences]:
        """Return how many words a text has, and those that stand for terms."""
        words = words_of(text)
        found = [
            (at, match) for at, match in enumerate(map(self._known.__getitem__, words)) if match
        ]
        return len(words), found

    def vocabulary(self) -> Iterable[str]:
        """Return every word that was met so far, as it stands in the texts."""
        return self._known

    def _match(self, word: str) -> tuple[Match, ...]:
        found: dict[int, float] = {}
        for piece in (piece for surface in surfaces(word) for piece in pieces(surface)):
            if self._is_english and not self._may_match(piece):
                continue
            matched = self._pieces.get(piece, {})
            for source in (matched, self._by_stem.get(self._stems.of(piece), {})):
                for term, weight in source.items():
                    found[term] = max(found.get(term, 0.0), weight)
        return tuple(sorted(found.items()))

    def _may_match(self, piece: str) -> bool:
        """Tell whether a word is worth stemming: in English, a stem begins as its word does."""
        start = IRREGULAR.get(piece, piece)[:_KEPT]
        return (start if start.isascii() else without_accents(start)) in self._initials


class _Known(dict[str, tuple[Match, ...]]):
    """What the words that were met stand for; computed at the first sight of each."""

    def __init__(self, match: Callable[[str], tuple[Match, ...]]) -> None:
        super().__init__()
        self._match = match

    def __missing__(self, word: str) -> tuple[Match, ...]:
        found = self[word] = self._match(word)
        return found


def frequencies(occurrences: Sequence[tuple[int, tuple[Match, ...]]], terms: int) -> list[float]:
    """Return how often each term occurs, each occurrence counted by how well it matches."""
    counts = [0.0] * terms
    for _, matches in occurrences:
        for term, weight in matches:
            counts[term] += weight
    return counts
