"""Where sentences begin and end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamcp.processors.documents.sentences import spans


def split(text: str) -> list[str]:
    """Return the sentences of a text."""
    return [text[start:end] for start, end in spans(text)]


@pytest.mark.parametrize(
    "sentences",
    [
        ["It fell.", "Why?", "Nobody knows!", "Or do they…", "Yes."],
        ["Mr. Smith met Dr. J. K. Jones at 3.15 p.m. near St. Mary's.", "They talked."],
        ["The U.S. economy grew by 2.5 per cent.", "It was a surprise."],
        ["He lives in the U.S.", "The house is old."],
        ["Prices, wages, etc. rose.", "Then all fell."],
        ["See Fig. 3, e.g. the first bar, vs. No. 7 (cf. p. 12).", "It is red."],
        ['She said: "It is over."', "Then she left."],
        ["He asked (why?) and went.", "(It was late.)", "Nobody came."],
        ["Acme Inc. bought Foo Ltd. in Jan. 2001.", "It paid $5.50 a share."],
        ["The file is config.yaml.", "Open example.com first."],
        ["Am 3. Oktober war es so weit.", "Die Mauer war weg, z.B. in Berlin."],
        ["Il est né en 1900.", "Où ?", "À Paris."],
        ["東京は大きい。", "人が多い！", "本当？"],  # noqa: RUF001
        ["The law of 1990.", "In 1991 it ended."],
        ["The year was 1986.", "Prices fell."],
    ],
)
def test_sentences_are_told_apart(sentences: list[str]) -> None:
    """Abbreviations, initials, decimals and quotes do not end one."""
    space = "" if not sentences[0].isascii() and "東" in sentences[0] else " "
    assert split(space.join(sentences)) == sentences


def test_a_sentence_may_go_over_lines() -> None:
    """Only an empty line ends it."""
    assert split("One\ntwo.\nThree\n\nfour") == ["One\ntwo.", "Three", "four"]


def test_what_never_ends_is_cut() -> None:
    """At a space where there is one."""
    assert all(len(one) <= 1_000 for one in split("word " * 5_000))
    assert len(split("x" * 2_500)) == 3


@given(st.text(alphabet=st.sampled_from("aB1.!?… \n\"')(。é"), max_size=200))
def test_no_text_is_lost_or_told_twice(text: str) -> None:
    """Sentences follow each other, and only white space lies between them."""
    end = 0
    for start, stop in spans(text):
        assert end <= start < stop <= len(text)
        assert not text[end:start].strip()
        assert not text[start].isspace()
        assert not text[stop - 1].isspace()
        end = stop
    assert not text[end:].strip()
