import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamcp.tasks.retry import (
    LONGEST,
    MOST_ATTEMPTS,
    RetryPolicy,
    Strategy,
    delay_after,
    overridden,
    rest,
    within_bounds,
)

policies = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 1000),
    delay=st.floats(0, 1e9),
    max_delay=st.floats(0, 1e9),
    strategy=st.sampled_from(["constant", "linear", "exponential", "jittered"]),
)


@given(policies, st.integers(1, 2000))
def test_delays_never_shrink_and_stay_within_bounds(policy: RetryPolicy, attempt: int) -> None:
    """Before jitter; and no policy waits longer than it says, or for ever."""
    shorter, longer = delay_after(policy, attempt), delay_after(policy, attempt + 1)
    assert 0 <= shorter <= longer <= min(policy.max_delay, LONGEST)


@given(policies, st.integers(1, 1000), st.floats(0, 1))
def test_jitter_keeps_between_half_and_the_whole(
    policy: RetryPolicy, attempt: int, chance: float
) -> None:
    """Only where it is asked for."""
    seconds = rest(policy, attempt, {"code"}, chance)
    if seconds is None:
        assert attempt >= policy.max_attempts
        return
    whole = delay_after(policy, attempt)
    least = whole / 2 if policy.strategy == "jittered" else whole
    assert least <= seconds <= whole


@pytest.mark.parametrize(
    ("strategy", "delays"),
    [
        ("constant", [2, 2, 2, 2]),
        ("linear", [2, 4, 6, 8]),
        ("exponential", [2, 4, 8, 10]),
        ("jittered", [2, 4, 8, 10]),
    ],
)
def test_strategies_are_what_they_are_called(strategy: Strategy, delays: list[float]) -> None:
    """Up to the longest delay."""
    policy = RetryPolicy(max_attempts=9, delay=2, max_delay=10, strategy=strategy)
    assert [delay_after(policy, attempt) for attempt in range(1, 5)] == delays


@pytest.mark.parametrize(
    ("attempt", "code", "again"),
    [(1, "a", True), (2, "a", True), (3, "a", False), (1, "b", False), (1, "c", False)],
)
def test_not_every_failure_is_worth_another_attempt(attempt: int, code: str, again: bool) -> None:
    """Attempts run out; some errors are listed as worth it, some as not."""
    policy = RetryPolicy(max_attempts=3, retry_on=("a", "b"), give_up_on=("b",))
    assert (rest(policy, attempt, {code}, 0) is not None) == again


@given(st.floats())
def test_any_number_that_is_asked_for_becomes_a_delay(seconds: float) -> None:
    """Also what is no number, or lies in the past."""
    kept = within_bounds(seconds)
    assert 0 <= kept <= LONGEST
    assert kept == seconds or not 0 <= seconds <= LONGEST or math.isnan(seconds)


@given(policies, st.none() | policies, st.none() | st.integers(0, 2000))
def test_what_is_nearer_wins(
    base: RetryPolicy, policy: RetryPolicy | None, count: int | None
) -> None:
    """A policy as a whole; a number of retries changes only how often."""
    held = overridden(base, policy, count)
    if policy is not None:
        assert held == policy
        return
    assert (
        held.max_attempts == base.max_attempts if count is None else min(count + 1, MOST_ATTEMPTS)
    )
    assert held.model_copy(update={"max_attempts": 1}) == base.model_copy(
        update={"max_attempts": 1}
    )
    assert RetryPolicy.model_validate_json(held.model_dump_json()) == held
