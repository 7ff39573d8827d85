"""Which of some vectors are central."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamcp.agent_types.reading.centrality import centrality, cosine, vectors

_BAGS = st.lists(st.lists(st.sampled_from("abcdef"), max_size=6), min_size=1, max_size=12)


def test_what_has_most_in_common_with_the_others_is_central() -> None:
    """A sentence that shares words with each of the others comes first."""
    found = vectors([["a", "b"], ["a", "b", "c", "d"], ["c", "d"], ["x"]])
    scores = centrality(found, [1] * 4)
    assert max(range(4), key=scores.__getitem__) == 1
    assert scores[3] == min(scores)


def test_the_bias_decides_where_nothing_is_shared() -> None:
    """Without edges, and without damping, the walk goes where it likes to go."""
    scores = centrality(vectors([["a"], ["b"]]), [3, 1], damping=0.0)
    assert scores == pytest.approx([0.75, 0.25])


@given(_BAGS)
def test_vectors_have_length_one_or_none(bags: list[list[str]]) -> None:
    """And a cosine is between 0 and 1, the same both ways."""
    found = vectors(bags)
    for bag, one in zip(bags, found, strict=True):
        assert sum(weight**2 for weight in one.values()) == pytest.approx(1 if bag else 0)
        for other in found:
            assert -1e-9 <= cosine(one, other) <= 1 + 1e-9
            assert cosine(one, other) == pytest.approx(cosine(other, one))


@given(_BAGS, st.floats(0, 0.99))
def test_scores_are_shares_of_one(bags: list[list[str]], damping: float) -> None:
    """Whatever the graph, and even if no vector is preferred."""
    found = vectors(bags)
    for bias in ([1.0] * len(bags), [0.0] * len(bags)):
        scores = centrality(found, bias, damping)
        assert sum(scores) == pytest.approx(1)
        assert all(score >= 0 for score in scores)
