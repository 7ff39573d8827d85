"""How well a sentence answers a question: what it has of its terms, and of what it asks for. Pure.

Question words tell what kind of answer to look for (Voorhees 1999, The TREC-8 Question Answering
Track Report, where most systems did so): `when` a date, `how many` a number, `why` a reason.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from datamcp.agent_types.reading.matching import Matcher
from datamcp.agent_types.reading.passages import Passage, Sentence
from datamcp.agent_types.reading.question import Answer, Question

_NUMBER_WORDS = (
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen"
    "|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred"
    "|thousand|million|billion|trillion|half|third|quarter|dozen|double|twice"
)
_SHOWS = {
    Answer.DATE: re.compile(
        r"\b(?:1[0-9]{3}|20\d\d)s?\b|\b(?:january|february|march|april|may \d|june|july|august|september"
        r"|october|november|december|januar|februar|märz|juni|juli|oktober|dezember|janvier|février"
        r"|mars|avril|juin|juillet|août|septembre|octobre|novembre|décembre|enero|febrero|marzo|abril"
        r"|junio|julio|agosto|septiembre|octubre|noviembre|diciembre)\b|\bcentur(?:y|ies)\b"
        r"|\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b|\b\d{1,2}:\d\d\b|\bjahrhundert\b|\bsiècle\b",
        re.IGNORECASE,
    ),
    Answer.NUMBER: re.compile(  # a bare year is none
        rf"(?<![\w-])(?!(?:1[6-9]|20)\d\d\b)\d[\d.,:]*|\b(?:{_NUMBER_WORDS})\b", re.IGNORECASE
    ),
    Answer.PERSON: re.compile(r"(?<=[\w,;:] )[^\W\d_a-zà-ÿ][^\W\d_A-Z]+|\b[A-Z][a-z]+ [A-Z][a-z]+"),
    Answer.PLACE: re.compile(
        r"\b(?:in|at|near|from|to|into|across|through|of|outside|around|off|à|en|au|bei|nach|aus)"
        r" (?:the )?[^\W\d_a-zà-ÿ]\w+"
    ),
    Answer.REASON: re.compile(
        r"\b(?:because|due to|owing to|since|as a result|result(?:ed|s|ing)? (?:in|from|of)|led to"
        r"|leading to|caus(?:e|ed|es|ing)|reason|therefore|thus|hence|so that|in order to|thanks to"
        r"|after|why|response to|prompt(?:ed|s)|trigger(?:ed|s)|to avoid|to prevent|attribut(?:ed|able)"
        r"|driven by|weil|da|wegen|aufgrund|denn|daher|deshalb|parce que|car|à cause|grâce"
        r"|porque|debido|a causa)\b",
        re.IGNORECASE,
    ),
}
_PROMISES = {
    Answer.REASON: re.compile(
        r"\b(?:why|reasons?|causes?|caused|background|because|how it came|warum|gründe|ursachen?"
        r"|pourquoi|raisons?|porqué|causas?)\b",
        re.IGNORECASE,
    ),
    Answer.DATE: re.compile(
        r"\b(?:when|dates?|timeline|chronology|history|schedule)\b", re.IGNORECASE
    ),
}
KIND_BONUS = 0.25  # of the weight of all terms, for a sentence of the kind that is asked for
BEFORE = 0.6  # of a term's weight, if only the sentence before has it
ABOVE = 0.3  # of a term's weight, if only a heading above has it
FIRST = (
    0.03  # of the weight of all terms, for the first sentence of a passage; ever less for others
)


@dataclass(frozen=True, slots=True)
class Weighed:
    """A sentence of a passage and how well it answers, 1 for all terms and the right kind."""

    number: int
    sentence: Sentence
    score: float


def weighed(
    question: Question, passage: Passage, matcher: Matcher, weights: Sequence[float]
) -> list[Weighed]:
    """Weigh each sentence of a passage; `weights` are those of the terms."""
    total = sum(weights) or 1.0
    above = _best(matcher, "\n".join(passage.headings))
    found = []
    before: dict[int, float] = {}
    for number, sentence in enumerate(passage.sentences()):
        own = _best(matcher, sentence.text)
        reached = {
            term: max(
                own.get(term, 0.0), BEFORE * before.get(term, 0.0), ABOVE * above.get(term, 0.0)
            )
            for term in {*own, *before, *above}
        }
        score = sum(weights[term] * quality for term, quality in sorted(reached.items())) / total
        if reached:
            score += KIND_BONUS * _share_of_kind(question, sentence.text) + FIRST / (1 + number)
        found.append(Weighed(number, sentence, score))
        before = own
    return found


def promised(question: Question, headings: Sequence[str]) -> bool:
    """Tell whether a heading promises the kind of answer that is asked for: `Why it fell`."""
    return any(
        pattern.search(heading)
        for kind, pattern in _PROMISES.items()
        if kind in question.asks
        for heading in headings
    )


def _best(matcher: Matcher, text: str) -> dict[int, float]:
    best: dict[int, float] = {}
    _, occurrences = matcher.occurrences(text)
    for _, matches in occurrences:
        for term, quality in matches:
            best[term] = max(best.get(term, 0.0), quality)
    return best


def _share_of_kind(question: Question, text: str) -> float:
    """Return how much a sentence shows of what is asked for, beyond what the question says itself."""
    if not question.asks:
        return 0.0
    asked = question.text.lower()
    shown = [
        any(found[0].lower() not in asked for found in _SHOWS[kind].finditer(text))
        for kind in question.asks
    ]
    return sum(shown) / len(shown)
