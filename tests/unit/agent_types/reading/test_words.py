"""Text as words: what is one, and by what it is looked up."""

import pytest

from datamcp.agent_types.reading.words import Stems, pieces, surfaces, words_of


def of(text: str) -> list[tuple[str, ...]]:
    """Return the pieces of each word of a text."""
    return [pieces(surface) for surface in surfaces(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Oil, gas!", [("oil",), ("gas",)]),
        ("long-term", [("long", "term", "longterm")]),
        ("COVID-19 F-16", [("covid", "19", "covid19"), ("f", "16", "f16")]),
        ("$1,234.50 and 3.5%", [("1234.5",), ("and",), ("3.5",)]),
        ("007 2.0", [("7",), ("2",)]),
        ("10GB 42nd", [("10", "gb", "10gb"), ("42",)]),
        ("2008-07-11", [("2008", "july", "11", "2008-07-11")]),
        ("9999-99-99", [("9999", "99", "9999-99-99")]),
        ("the U.S. and US, not us", [("the",), ("US",), ("and",), ("US",), ("not",), ("us",)]),
        ("S&P O'Neill's", [("sp", "s&p"), ("o", "neill", "oneill")]),
        ("C++ C# .NET", [("c++",), ("c#",), ("net",)]),
        ("l’économie d'avril", [("économie",), ("avril",)]),  # noqa: RUF001
        ("user_id _emphasis_", [("user", "id", "userid"), ("emphasis",)]),
        ("cafe\u0301", [("café",)]),
        ("हिन्दी", [("हिन्दी",)]),
        ("東京大学", [("東京",), ("京大",), ("大学",)]),
        ("", []),
        ("--- … !", []),
    ],
)
def test_a_word_is_looked_up_by_its_pieces(text: str, expected: list[tuple[str, ...]]) -> None:
    """Numbers, dates, compounds, acronyms and scripts without spaces can all be found."""
    assert of(text) == expected


def test_what_is_too_long_is_no_word() -> None:
    """A line of a million letters costs nothing."""
    assert of("a" * 100_000) == [()]


def test_cutting_at_spaces_loses_no_word() -> None:
    """It is the quick way; the surfaces are in what it returns."""
    text = "Oil—crude, that is—fell: 東京 by 10%."
    found = [surface for word in words_of(text) for surface in surfaces(word)]
    assert found == surfaces(text)


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("english", "rising", "rose"),
        ("english", "fallen", "fell"),
        ("english", "crises", "crisis"),
        ("english", "women", "woman"),
        ("english", "organized", "organizing"),
        ("german", "Häuser".lower(), "haus"),
        ("german", "größe", "grösse"),
        ("french", "économies", "economie"),
        ("spanish", "naciones", "nación"),
        ("russian", "дома", "дом"),
    ],
)
def test_forms_of_a_word_have_one_stem(language: str, one: str, other: str) -> None:
    """Rules tell regular forms, lists the irregular ones; accents do not part words."""
    stems = Stems(language)
    assert stems.of(one) == stems.of(other)


def test_numbers_and_acronyms_are_their_own_stems() -> None:
    """Nothing is cut from them."""
    assert [Stems("english").of(word) for word in ("1990s", "US", "3.5")] == ["1990s", "US", "3.5"]
