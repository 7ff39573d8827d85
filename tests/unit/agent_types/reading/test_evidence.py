"""How well sentences answer a question."""

import pytest

from datamcp.agent_types.reading.evidence import promised, weighed
from datamcp.agent_types.reading.matching import Matcher
from datamcp.agent_types.reading.passages import passages
from datamcp.agent_types.reading.question import understood
from datamcp.processors.documents.reader import document


def best(query: str, text: str) -> str:
    """Return the sentence of a text that answers best."""
    question = understood(query)
    (passage,) = passages(document(text.encode(), "a.md"))
    weights = [term.weight for term in question.terms]
    found = weighed(question, passage, Matcher(question, "english"), weights)
    return max(found, key=lambda one: (one.score, -one.number)).sentence.text


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("When did the price fall?", "The price began to fall in May 1986."),
        ("How much did the price fall?", "The price did fall by 40 per cent."),
        ("Why did the price fall?", "Because of the glut the price had to fall."),
        ("Where did the price fall?", "The price did fall in Oklahoma."),
        ("Who let the price fall?", "It was Sheik Yamani who let the price fall."),
    ],
)
def test_the_kind_of_answer_decides_between_like_sentences(query: str, answer: str) -> None:
    """All of them have the words of the question; one has what is asked for."""
    plain = "Everybody saw the price fall."
    assert best(query, f"{plain} {answer} {plain}") == answer


def test_what_the_question_says_itself_is_no_answer() -> None:
    """A year in the question does not make its repetition a date."""
    text = "The peak of 2008 was high. It came with the peak in July."
    assert best("When was the peak of 2008?", text) == "It came with the peak in July."


def test_a_sentence_profits_from_the_one_before_it() -> None:
    """So `it` is understood, more or less."""
    text = "Nobody knew. The lighthouse stands on Gull Head. It was lit in 1838. Ships came by."
    assert best("When was the lighthouse on Gull Head lit?", text) == "It was lit in 1838."


def test_below_a_heading_that_asks_the_first_sentence_answers() -> None:
    """Where no sentence has anything of the question, which the heading has."""
    text = "## Why is the tunnel slow?\n\nThe line is shared. Use another one."
    assert best("why is the tunnel slow", text) == "The line is shared."


def test_a_heading_promises_an_answer() -> None:
    """Only one of the kind that is asked for."""
    assert promised(understood("Why did it fall?"), ["Why the price broke"])
    assert promised(understood("When did it fall?"), ["Timeline"])
    assert not promised(understood("When did it fall?"), ["Why the price broke"])
    assert not promised(understood("price fall"), ["Causes"])
