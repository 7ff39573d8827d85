"""What a question asks for."""

import pytest

from datamcp.agent_types.reading.question import LIGHT_WEIGHT, Answer, understood


def words(text: str) -> list[str]:
    """Return the words that a question is searched by."""
    return [term.word for term in understood(text).terms]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("When did the oil price peak and why?", ["oil", "price", "peak"]),
        ("Where is WTI delivered?", ["wti", "delivered"]),
        ("who is the WHO", ["WHO"]),
        ("to be or not to be", ["to", "be", "or", "not"]),
        ("the the", ["the"]),
        ("long-term debt in 2008-07", ["long", "term", "debt", "2008", "7"]),
        ("Wann stieg der Preis?", ["stieg", "preis"]),
        ("Pourquoi le prix a-t-il monté ?", ["prix", "monté"]),
        ("...", []),
    ],
)
def test_what_only_makes_it_a_question_is_left_out(text: str, expected: list[str]) -> None:
    """Unless there is nothing else."""
    assert words(text) == expected


def test_words_that_say_little_count_little() -> None:
    """`happened` and `after` are no topics; alone, they are."""
    weights = {term.word: term.weight for term in understood("what happened after the war").terms}
    assert weights == {"happened": LIGHT_WEIGHT, "after": LIGHT_WEIGHT, "war": 1.0}
    assert [term.weight for term in understood("after").terms] == [1.0]


def test_neighbours_may_be_written_together() -> None:
    """`time out` finds `timeout`, and `e-mail` finds `email`."""
    joined = {term.word: term.joined for term in understood("time out of e-mail").terms}
    assert joined["time"] == ("timeout",)
    assert "email" in joined["mail"]


def test_quotes_make_phrases() -> None:
    """Of two words or more, in any kind of quotes."""
    question = understood('who wrote "war and peace", “a b”, or "x"')
    assert question.phrases == ("war and peace", "a b")


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("When did it happen and why?", {Answer.DATE, Answer.REASON}),
        ("In what year was it?", {Answer.DATE}),
        ("How many barrels?", {Answer.NUMBER}),
        ("What was the average price?", {Answer.NUMBER}),
        ("Who was it?", {Answer.PERSON}),
        ("Which country left?", {Answer.PLACE}),
        ("What factors caused the fall?", {Answer.REASON}),
        ("Wie viele waren es?", {Answer.NUMBER}),
        ("Wer war es, und wo?", {Answer.PERSON, Answer.PLACE}),
        ("Wie geht das mit der Pumpe?", set()),
        ("¿Por qué cayó el precio?", {Answer.REASON}),
        ("oil prices", set()),
        ("the whole whenever", set()),
    ],
)
def test_question_words_tell_the_kind_of_answer(text: str, asks: set[Answer]) -> None:
    """In several languages; a word that merely contains one tells nothing."""
    assert understood(text).asks == asks
