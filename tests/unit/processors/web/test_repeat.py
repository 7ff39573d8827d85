"""What is asked again, and when."""

from datetime import UTC, datetime

import pytest

from datamcp.processors.web.repeat import LONGEST_WAIT, asked_wait, is_transient, wait_before

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_may_be_better_later_is_asked_again(status: int) -> None:
    """Where it does no harm; else only where the server says that it did nothing."""
    assert is_transient(status, is_safe=True)
    assert is_transient(status, is_safe=False) == (status in {429, 503})


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 501, 505])
def test_what_stays_wrong_is_not(status: int) -> None:
    """Neither a mistake of ours nor something that the server can't do."""
    assert not is_transient(status, is_safe=True)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 0 ", 0.0),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("9" * 400, 999_999_999.0),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_an_instant(value: str | None, seconds: float | None) -> None:
    """Nonsense is as if nothing was said."""
    assert asked_wait(value, NOW) == seconds


def test_waits_grow_and_are_bounded() -> None:
    """Without a word from the server, each wait is twice as long; none is longer than a minute."""
    assert [wait_before(attempt, None) for attempt in (2, 3, 4)] == [0.5, 1.0, 2.0]
    assert wait_before(30, None) == LONGEST_WAIT
    assert wait_before(2, 5.0) == 5.0
    assert wait_before(2, 1e9) == LONGEST_WAIT
