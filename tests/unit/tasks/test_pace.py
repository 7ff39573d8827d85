from math import inf

from hypothesis import given
from hypothesis import strategies as st

from datamcp.tasks.pace import MOST_AT_ONCE, Brevity, Pace

TIMES = st.floats(0, 1000)


def paced(*seconds: float) -> Pace:
    """Return the pace of a type whose tasks took so long, one after the other."""
    pace = Pace(Brevity())
    for each in seconds:
        pace.note("lab.echo", each)
    return pace


def test_what_was_never_seen_goes_alone() -> None:
    """It may take for ever."""
    assert Pace(Brevity()).of("lab.echo") == inf
    assert Pace(Brevity()).at_once("lab.echo") == 1


@given(st.lists(TIMES, min_size=1))
def test_a_long_one_is_believed_at_once(seconds: list[float]) -> None:
    """The last one never took longer than what is expected of the next."""
    assert paced(*seconds).of("lab.echo") >= seconds[-1]


@given(TIMES)
def test_what_was_long_fades(seconds: float) -> None:
    """After enough short ones, many go to a slot again."""
    pace = paced(seconds)
    for _ in range(100):
        pace.note("lab.echo", 0.0001)
    assert pace.at_once("lab.echo") == MOST_AT_ONCE


def test_all_that_go_at_once_take_a_moment() -> None:
    """The longer each of them takes, the fewer go."""
    numbers = [paced(seconds).at_once("lab.echo") for seconds in (0, 0.001, 0.005, 0.013, 60)]
    assert numbers == [16, 16, 4, 1, 1]


def test_types_are_seen_by_themselves() -> None:
    """A long one says nothing of others."""
    pace = paced(0.001)
    pace.note("lab.hold", 60)
    assert pace.at_once("lab.hold") == 1
    assert pace.at_once("lab.echo") == MOST_AT_ONCE
