"""Which runs may begin where there is not room for all."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from datamcp.pipelines.admission import choose
from datamcp.pipelines.run_ledger import Waiting

NAMES = st.sampled_from("abc")


def waiting(names: str) -> list[Waiting]:
    """Return runs that wait, the oldest first, each named by its pipeline and its place."""
    return [Waiting(f"{name}{place}", name, 1) for place, name in enumerate(names)]


def chosen(names: str, most: int, limits: dict[str, int] | None = None, **going: int) -> list[str]:
    """Return the runs that may begin."""
    found = limits or {}
    return choose(waiting(names), going, most, lambda run: found.get(run.pipeline_id))


def test_the_oldest_first() -> None:
    """Where one pipeline is like the other."""
    assert chosen("aaa", 2) == ["a0", "a1"]
    assert chosen("ab", 1) == ["a0"]
    assert chosen("ba", 1) == ["b0"]


def test_each_pipeline_has_its_turn() -> None:
    """However many runs of another were there before."""
    assert chosen("aaaaab", 2) == ["a0", "b5"]
    assert chosen("aaab", 3, a=2) == ["b3"]
    assert chosen("aaabb", 5, a=1) == ["b3", "a0", "b4", "a1"]


def test_a_full_pipeline_keeps_no_other_out() -> None:
    """Its limit is its own."""
    assert chosen("aab", 9, {"a": 1}) == ["a0", "b2"]
    assert chosen("aab", 9, {"a": 1}, a=1) == ["b2"]
    assert chosen("aab", 9, {"a": 1}, a=3) == ["b2"]


def test_nobody_where_there_is_no_room() -> None:
    """Or more than there should be."""
    assert chosen("ab", 2, c=2) == []
    assert chosen("ab", 2, c=7) == []
    assert chosen("", 2) == []


@given(
    st.text("abc", max_size=20),
    st.integers(0, 12),
    st.dictionaries(NAMES, st.integers(1, 4)),
    st.dictionaries(NAMES, st.integers(0, 4)),
)
def test_all_the_room_is_used_and_no_more(
    names: str, most: int, limits: dict[str, int], going: dict[str, int]
) -> None:
    """Limits hold, each pipeline's runs begin in their order, and none is forgotten."""
    found = chosen(names, most, limits, **going)
    assert len(set(found)) == len(found)
    after = Counter(going) + Counter(run[0] for run in found)
    assert after.total() <= max(most, sum(going.values()))
    for name in set(names):
        of_it = [one.run_id for one in waiting(names) if one.pipeline_id == name]
        begun = [run for run in found if run[0] == name]
        assert begun == of_it[: len(begun)]
        is_full = name in limits and after[name] >= limits[name]
        assert len(begun) == len(of_it) or is_full or after.total() >= most
        if name in limits and begun:
            assert after[name] <= limits[name]
