import pytest

from datamcp import Cancel, Fail, Retry, RetryPolicy, Snooze
from datamcp.tasks import outcome
from datamcp.tasks.ask import Ask
from datamcp.tasks.outcome import Again, follow

POLICY = RetryPolicy(max_attempts=2, delay=8, retry_on=("nothing",))


@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        (Retry("busy"), outcome.Fail("retry", "busy", None, Again.ASKED)),
        (Retry(delay=3), outcome.Fail("retry", "the task asked for another attempt", None, Again.ASKED, delay=3)),
        (Snooze(60), outcome.Snooze(60)),
        (Cancel(), outcome.Cancel("cancelled", "by the task itself")),
        (Fail("no", code="closed"), outcome.Fail("closed", "no", None, Again.NEVER)),
    ],
)  # fmt: skip
def test_what_is_asked_for_becomes_an_outcome(ask: Ask, expected: outcome.Outcome) -> None:
    """Each has its own."""
    assert ask.outcome == expected


def test_a_retry_is_had_whatever_the_policy_wants() -> None:
    """After its own delay, or the policy's; but not beyond the last attempt."""
    asked, default = Retry("busy", delay=3).outcome, Retry("busy").outcome
    assert follow(asked, POLICY, 1, 0) == outcome.Retry("retry", "busy", 3)
    assert follow(default, POLICY, 1, 0) == outcome.Retry("retry", "busy", 8)
    assert follow(asked, POLICY, 2, 0) == asked


def test_a_failure_on_purpose_is_final() -> None:
    """Though attempts are left."""
    asked = Fail("no").outcome
    assert follow(asked, RetryPolicy(max_attempts=9), 1, 0) == asked
