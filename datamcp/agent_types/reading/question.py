"""A question as what it asks for: its words with their weights, its phrases, the kind of answer. Pure.

Words that only make it a question carry nothing: stop words are left out, unless there is nothing
else, and words such as `happen` count for little. What stands in quotes is a phrase.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from datamcp.agent_types.reading.language import STOP_WORDS, language_of
from datamcp.agent_types.reading.words import pieces, surfaces

_QUOTED = re.compile(r"[\"“”„«»]([^\"“”„«»]{1,200})[\"“”„«»]")

_LIGHT_WORDS = """
happen happens happened happening name named names call called calls known kind kinds type types
sort example examples many much tell explain describe list give gives given mean means meant
meaning define definition get got make makes made thing things way ways cause caused causes reason
reasons use used uses using find show become became take took place document documents text say
said says information significance following term terms part would like long number amount year
date time person people passiert geschah heißt heißen nennt gibt passé appelle s'est passó llama
ocurrió chiama against without before after during until between above below under over out off
most more less few
"""
_LIGHT = frozenset(_LIGHT_WORDS.split())
LIGHT_WEIGHT = 0.4


class Answer(StrEnum):
    """What a question asks for, as far as its words tell."""

    DATE = "date"
    NUMBER = "number"
    PERSON = "person"
    PLACE = "place"
    REASON = "reason"


_ASKS = {
    Answer.DATE: (
        r"when|(?:what|which) (?:year|date|day|month|decade|century|time)|since when|how long ago"
        r"|wann|seit wann|in welchem jahr|quand|en quelle année|cuándo|en qué año|quando|in che anno"
        r"|wanneer|när|hvornår|kiedy|когда"
    ),
    Answer.NUMBER: (
        r"how (?:many|much|high|low|far|long|old|large|big|tall|deep|wide|fast|heavy|often|hot|cold"
        r"|expensive|strong|steep)|(?:what|which) (?:\w+ ){0,3}?(?:percentage|number|price|size"
        r"|amount|rate|share|height|length|depth|weight|population|temperature|speed|cost|level)"
        r"|wie ?viele?|wie (?:hoch|lang|groß|alt|weit|teuer|oft|tief|schnell)|combien|cuánt[oa]s?"
        r"|quant[oiae]|hoeveel|hur (?:många|mycket)|hvor (?:mange|meget|mye)|ile|сколько"
    ),
    Answer.PERSON: (
        r"who|whom|whose|wer|wem|wen|wessen|qui|quién(?:es)?|chi|quem|wie|vem|hvem|kto|кто"
    ),
    Answer.PLACE: (
        r"where|(?:what|which) (?:country|city|town|place|state|location|region|continent|port)"
        r"|wo|wohin|woher|où|dónde|dove|onde|waar|var|hvor|gdzie|где"
    ),
    Answer.REASON: (
        r"why|(?:what|which) (?:\w+ ){0,3}?(?:caused?|causes|led to|reasons?|triggered)|how come"
        r"|warum|weshalb|wieso|pourquoi|por qué|perché|por que|waarom|varför|hvorfor|dlaczego|почему"
    ),
}
_LANGUAGE_OF_WIE = "dutch"  # `wie` is who in Dutch, how in German


@dataclass(frozen=True, slots=True)
class Term:
    """One word of a question: how it is written, how much it counts, and where it stands.

    `joined` are ways to write it together with its neighbour (`time-out`, `timeout`).
    """

    word: str
    weight: float
    position: int
    joined: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """A question: its terms in order, each once; its phrases; and what may answer it."""

    text: str
    language: str
    terms: tuple[Term, ...]
    phrases: tuple[str, ...] = ()
    asks: frozenset[Answer] = frozenset()


def understood(text: str) -> Question:
    """Return what a question asks for."""
    language = language_of(text)
    return Question(
        text=text,
        language=language,
        terms=tuple(_terms(text, STOP_WORDS[language])),
        phrases=tuple(
            " ".join(found.split()) for found in _QUOTED.findall(text) if len(surfaces(found)) > 1
        ),
        asks=_asked(text, language),
    )


def _asked(text: str, language: str) -> frozenset[Answer]:
    lowered = " ".join(text.lower().split())
    found = set()
    for answer, pattern in _ASKS.items():
        if re.search(rf"(?<!\w)(?:{pattern})(?!\w)", lowered):
            found.add(answer)
    if language != _LANGUAGE_OF_WIE and re.search(r"(?<!\w)wie(?!\w)", lowered):
        found.discard(Answer.PERSON)
    return frozenset(found)


def _terms(text: str, stops: frozenset[str]) -> Iterator[Term]:
    words = list(_words(text))
    kept = [word for word in words if not _is_stop(word, stops)] or words
    joined = _joined(kept)
    seen = set()
    for word in kept:
        if word.piece not in seen:
            seen.add(word.piece)
            weight = LIGHT_WEIGHT if word.piece in _LIGHT and len(kept) > 1 else 1.0
            yield Term(word.piece, weight, word.position, joined.get(word.piece, ()))


@dataclass(frozen=True, slots=True)
class _Word:
    piece: str
    surface: str
    position: int
    whole: str = ""  # what it is a part of


def _words(text: str) -> Iterator[_Word]:
    for position, surface in enumerate(surfaces(text)):
        found = pieces(surface)
        if len(found) == 1:
            yield _Word(found[0], surface, position)
        for piece in found[:-1]:
            yield _Word(piece, surface, position, whole=found[-1])


def _is_stop(word: _Word, stops: frozenset[str]) -> bool:
    is_whole_stop = not word.piece.isupper() and word.surface.lower() in stops
    return word.piece in stops or is_whole_stop


def _joined(words: Sequence[_Word]) -> dict[str, tuple[str, ...]]:
    """Return, for each piece, the words that it may be a part of."""
    found: dict[str, list[str]] = {}
    for word in words:
        if word.whole:
            found.setdefault(word.piece, []).append(word.whole)
    for one, other in pairwise(words):
        is_pair = (
            other.position == one.position + 1 and one.piece.isalpha() and other.piece.isalnum()
        )
        if is_pair and not one.piece.isupper():
            for piece in (one.piece, other.piece):
                found.setdefault(piece, []).append(one.piece + other.piece)
    return {piece: tuple(dict.fromkeys(wholes)) for piece, wholes in found.items()}
