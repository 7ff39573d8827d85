"""Choosing among texts without repeating one."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from datamcp.agent_types.reading.diversity import alike, chosen

_A = "alpha bravo charlie delta echo foxtrot"
_B = "golf hotel india juliet kilo lima"


def numbers(texts: list[str], scores: list[float], limit: int) -> list[int]:
    """Return the numbers of the chosen texts."""
    return [one.number for one in chosen(texts, scores, limit)]


def test_a_copy_comes_after_what_is_new() -> None:
    """Even if its score is much better; where there is nothing else, it is taken."""
    assert numbers([_A, _A, _B], [9, 9, 2], 3) == [0, 2, 1]
    assert numbers([_A, _A], [9, 9], 5) == [0, 1]


def test_a_part_of_a_chosen_text_is_a_copy() -> None:
    """Being shorter does not make it new."""
    assert numbers([f"{_A} {_B}", _A, _B + " mike november"], [9, 8, 7], 2) == [0, 2]


def test_texts_about_the_same_keep_their_scores() -> None:
    """Some words in common are no reason."""
    found = chosen([_A, "alpha bravo november oscar papa quebec", _B], [9, 8, 7], 3)
    assert [(one.number, one.score) for one in found] == [(0, 9), (1, 8), (2, 7)]


def test_likeness_is_a_share() -> None:
    """Of the smaller text's words; of all words for very short ones, and 0 for none."""
    assert alike(frozenset("abcdef"), frozenset("abcdefgh")) == 1.0
    assert alike(frozenset("ab"), frozenset("abcd")) == 0.5
    assert alike(frozenset(), frozenset("ab")) == 0.0


@given(st.lists(st.tuples(st.sampled_from([_A, _B, "", "x"]), st.floats(0, 10)), max_size=12))
def test_the_best_is_first_and_scores_fall(offered: list[tuple[str, float]]) -> None:
    """Each is chosen once at most."""
    ordered = sorted(offered, key=lambda one: -one[1])
    found = chosen([text for text, _ in ordered], [score for _, score in ordered], 20)
    assert sorted(one.number for one in found) == list(range(len(ordered)))
    assert all(one.score >= other.score for one, other in pairwise(found))
    assert not found or found[0].number == 0 or ordered[0][1] == ordered[found[0].number][1]
