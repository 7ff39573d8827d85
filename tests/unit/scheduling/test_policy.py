"""What a schedule does where not all goes as it should, as it is written."""

from datetime import timedelta

import pytest

from datamcp.errors import InvalidScheduleError
from datamcp.scheduling.policy import (
    CAUGHT_UP,
    Misfire,
    Missed,
    Overlap,
    grace,
    parse_misfire,
    parse_overlap,
)


@pytest.mark.parametrize(
    ("text", "misfire"),
    [
        ("skip", Misfire(Missed.SKIP, 1)),
        ("fire_once", Misfire(Missed.FIRE_ONCE, 1)),
        ("Fire-Once", Misfire(Missed.FIRE_ONCE, 1)),
        ("catch_up", Misfire(Missed.CATCH_UP, CAUGHT_UP)),
        ("catch up:20", Misfire(Missed.CATCH_UP, 20)),
    ],
)
def test_misfire_policies(text: str, misfire: Misfire) -> None:
    """They are read, and written so that they are read again."""
    assert parse_misfire(text) == misfire
    assert parse_misfire(str(misfire)) == misfire


@pytest.mark.parametrize(
    "text", ["", "skp", "skip:3", "catch_up:", "catch_up:0", "catch_up:-1", "catch_up:1e9", "all"]
)
def test_other_misfire_policies_are_refused(text: str) -> None:
    """In a line that says what there is."""
    with pytest.raises(InvalidScheduleError, match="misfire: "):
        parse_misfire(text)


def test_overlap_policies() -> None:
    """They are read; others are refused, with what may have been meant."""
    assert parse_overlap(" Buffer-One ") is Overlap.BUFFER_ONE
    with pytest.raises(InvalidScheduleError, match="did you mean 'cancel_other'"):
        parse_overlap("cancel_others")


def test_grace_is_the_distance_within_bounds() -> None:
    """So that what comes each second is missed sooner than what comes once a day."""
    assert grace(timedelta(seconds=1)) == timedelta(seconds=2)
    assert grace(timedelta(seconds=30)) == timedelta(seconds=30)
    assert grace(timedelta(days=1)) == grace(None) == timedelta(seconds=60)
