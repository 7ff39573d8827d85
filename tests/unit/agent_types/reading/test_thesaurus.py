"""Words that may stand for each other."""

import pytest

from datamcp.agent_types.reading.forms import AMBIGUOUS, IRREGULAR
from datamcp.agent_types.reading.thesaurus import relatives, synonyms
from datamcp.agent_types.reading.words import Stems


@pytest.mark.parametrize(
    ("word", "other"),
    [
        ("invade", "invasion"),
        ("invaded", "invasion"),
        ("introduce", "introduction"),
        ("reproduction", "reproduce"),
        ("subscribe", "subscription"),
        ("kuwait", "kuwaiti"),
        ("three", "3"),
        ("12", "twelve"),
        ("late", "later"),
    ],
)
def test_a_root_has_several_parts_of_speech(word: str, other: str) -> None:
    """By a list of families, and by the endings that many share."""
    assert other in relatives(word, Stems("english"))


def test_synonyms_go_from_the_first_word_and_back() -> None:
    """What comes near one word need not come near each other."""
    stems = Stems("english")
    assert {"begin", "launch"} <= synonyms("started", stems)
    assert "start" in synonyms("launch", stems)
    assert "find" in synonyms("found", stems)


def test_no_word_is_its_own_synonym() -> None:
    """Neither in the lists nor by a rule."""
    stems = Stems("english")
    for word in ("start", "produce", "three", "find", "unknownword"):
        assert word not in synonyms(word, stems) | relatives(word, stems)


def test_a_form_is_of_one_word() -> None:
    """Irregular forms lead straight to a word that is no form of another, and exclude doubts."""
    assert all(base not in IRREGULAR for base in IRREGULAR.values())
    assert not AMBIGUOUS.keys() & IRREGULAR.keys()
