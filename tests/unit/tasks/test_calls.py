"""Under which id a call is made."""

import pytest

from datamcp.tasks.calls import choose
from datamcp.tasks.states import State

IDS = ["third", "second", "first"]


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ({}, "third"),
        ({"first": State.SUCCEEDED}, "first"),
        ({"first": State.RUNNING}, "first"),
        ({"second": State.RETRYING, "first": State.SUCCEEDED}, "second"),
        ({"first": State.FAILED}, "third"),
        ({"second": State.CANCELLED, "first": State.TIMED_OUT}, "third"),
        ({"second": State.FAILED, "first": State.SUCCEEDED}, "first"),
        ({"third": State.FAILED, "first": State.SUCCEEDED}, "third"),
    ],
)
def test_an_attempt_finds_what_an_earlier_one_called(
    states: dict[str, State], expected: str
) -> None:
    """Unless that failed there: then it is called anew, and that is what the same attempt finds."""
    assert choose(IDS, states) == expected
