import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamcp.errors import BackendUnavailable, InvalidParametersError, Problem, UnknownTaskTypeError
from datamcp.tasks.outcome import (
    MAX_CODE,
    MAX_MESSAGE,
    TIMEOUT,
    Again,
    Cancel,
    Done,
    Ending,
    Fail,
    Final,
    Outcome,
    Retry,
    Snooze,
    TimedOut,
    defer,
    failure,
    follow,
    settle,
)
from datamcp.tasks.retry import LONGEST, RetryPolicy, rest, rest_unless_spent
from datamcp.tasks.states import FINAL, WAITING, State, may_move

anything = st.text(st.characters(), max_size=30)  # surrogates and control characters too
outcomes = st.one_of(
    st.builds(Done, anything),
    st.builds(Fail, anything, anything),
    st.builds(TimedOut, st.floats(0.1, 1e6)),
    st.builds(Cancel, anything, anything),
)
deferrals = st.one_of(
    st.builds(Retry, anything, anything, st.floats()), st.builds(Snooze, st.floats())
)


names = st.sampled_from(["timeout", "busy", "ValueError", "OSError"])
failures = st.one_of(
    st.builds(
        Fail,
        names,
        anything,
        again=st.sampled_from(Again),
        kinds=st.lists(names, max_size=2),
        delay=st.none() | st.floats(0, 1e6),
    ),
    st.builds(TimedOut, st.none() | st.floats(0.1, 1e6)),
)
policies = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 5),
    delay=st.floats(0, 1e6),
    strategy=st.sampled_from(["constant", "linear", "exponential", "jittered"]),
    retry_on=st.lists(names, max_size=2),
    give_up_on=st.lists(names, max_size=2),
)
attempts, chances = st.integers(1, 6), st.floats(0, 1)


class RudeError(Exception):
    """An error that can't even say what it is."""

    def __str__(self) -> str:
        """Fail."""
        raise RuntimeError("no text")


@given(outcomes)
def test_every_final_outcome_ends_a_running_task(outcome: Final) -> None:
    """Whatever ends an attempt leads to a final state that a running task may move to."""
    ending = settle(outcome)
    assert ending.state in FINAL
    assert may_move(State.RUNNING, ending.state)
    assert (ending.error_code is None) == (ending.state is State.SUCCEEDED)


@given(deferrals)
def test_every_other_outcome_leaves_a_task_that_waits(outcome: Retry | Snooze) -> None:
    """For a time that can be kept; only what failed counts, and says why."""
    deferral = defer(outcome)
    assert deferral.state in WAITING
    assert may_move(State.RUNNING, deferral.state)
    assert 0 <= deferral.delay <= LONGEST
    assert deferral.counts == isinstance(outcome, Retry) == (deferral.error_code is not None)


@given(failures, policies, attempts, chances)
def test_a_failure_is_made_good_while_attempts_are_left(
    outcome: Fail | TimedOut, policy: RetryPolicy, attempt: int, chance: float
) -> None:
    """And if it is worth it: by the policy, unless the attempt itself has said so, or never."""
    follows = follow(outcome, policy, attempt, chance)
    ended = settle(outcome)
    codes = {str(ended.error_code), *getattr(outcome, "kinds", ())}
    by_policy = rest(policy, attempt, codes, chance)
    match outcome:
        case Fail(again=Again.NEVER):
            pause = None
        case Fail(again=Again.ASKED, delay=delay):
            pause = rest_unless_spent(policy, attempt, chance)
            pause = delay if pause is not None and delay is not None else pause
        case _:
            pause = by_policy
    if pause is None:
        assert follows == outcome
        return
    assert attempt < policy.max_attempts
    assert isinstance(follows, Retry)
    assert (follows.delay, follows.due, follows.parameters) == (pause, None, None)
    put_off = defer(follows)
    assert (put_off.error_code, put_off.error_message) == (ended.error_code, ended.error_message)


@given(st.one_of(outcomes, deferrals), attempts, chances)
def test_without_a_policy_nothing_follows(outcome: Outcome, attempt: int, chance: float) -> None:
    """Whatever it is stays as it is."""
    assert follow(outcome, None, attempt, chance) is outcome


@given(
    st.one_of(st.builds(Done, anything), st.builds(Cancel, anything, anything), deferrals),
    policies,
    attempts,
    chances,
)
def test_only_failures_are_made_good(
    outcome: Outcome, policy: RetryPolicy, attempt: int, chance: float
) -> None:
    """A success, a cancel and what is put off by itself stay what they are."""
    assert follow(outcome, policy, attempt, chance) is outcome


@pytest.mark.parametrize(
    ("error", "listed", "again"),
    [
        (ConnectionRefusedError("no"), "ConnectionRefusedError", True),
        (ConnectionRefusedError("no"), "OSError", True),
        (ValueError("no"), "OSError", False),
        (BackendUnavailable("broker", "no"), "backend_unavailable", True),
        (BackendUnavailable("broker", "no"), "DatamcpError", True),
        (InvalidParametersError("a.b", []), "invalid_parameters", False),
        (UnknownTaskTypeError("a.b"), "unknown_task_type", False),
    ],
)
def test_an_error_goes_by_its_code_and_its_classes(
    error: Exception, listed: str, again: bool
) -> None:
    """Any of its names may stand in a policy; what is wrong by itself is never tried again."""
    policy = RetryPolicy(max_attempts=2, retry_on=(listed,))
    assert isinstance(follow(failure(error), policy, 1, 0), Retry) == again
    given_up = RetryPolicy(max_attempts=2, give_up_on=(listed,))
    never = listed in {"invalid_parameters", "unknown_task_type"}
    assert isinstance(follow(failure(error), given_up, 1, 0), Retry) == (not again and not never)


def test_a_timeout_has_a_code() -> None:
    """So that a policy can tell it from errors."""
    policy = RetryPolicy(max_attempts=2, delay=7, retry_on=(TIMEOUT,))
    assert follow(TimedOut(3), policy, 1, 0) == Retry(
        "timeout", "stopped after its timeout of 3 s", 7
    )
    assert follow(TimedOut(3), policy, 2, 0) == TimedOut(3)


def test_a_success_keeps_its_result_and_its_output() -> None:
    """What the capability returned is recorded as it is."""
    assert settle(Done("3", '{"value": 3}')) == Ending(State.SUCCEEDED, "3", '{"value": 3}')


def test_a_timeout_says_how_long_it_was() -> None:
    """The message names the limit, in seconds."""
    ending = settle(TimedOut(2.5))
    assert (ending.state, ending.error_code) == (State.TIMED_OUT, "timeout")
    assert ending.error_message == "stopped after its timeout of 2.5 s"
    assert settle(TimedOut()).error_message == "stopped after its timeout"


def test_a_cancelled_attempt_has_no_result() -> None:
    """It ends as a task does that is cancelled before it starts."""
    assert settle(Cancel()) == Ending(
        State.CANCELLED, error_code="cancelled", error_message="on request"
    )


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ValueError("no such month"), "ValueError", "no such month"),
        (KeyError(), "KeyError", "KeyError"),
        (InvalidParametersError("a.b", [Problem("x", "is required")]), "invalid_parameters", ""),
        (SystemExit(3), "SystemExit", "3"),
        (RudeError(), "RudeError", "RudeError"),
    ],
)
def test_an_error_becomes_a_code_and_a_message(
    error: BaseException, code: str, message: str
) -> None:
    """Our errors have a code of their own, others are called by their class."""
    fail = failure(error)
    assert (fail.code, fail.exception) == (code, error)
    assert message in fail.message
    assert fail.message


@given(anything, anything)
def test_what_is_recorded_fits_into_any_database(code: str, message: str) -> None:
    """Neither NUL, which PostgreSQL refuses, nor half a character is left; nothing is too long."""
    ending = settle(Fail(code * 20, message * 200))
    assert len(ending.error_code or "") <= MAX_CODE
    assert len(ending.error_message or "") <= MAX_MESSAGE
    for text in (ending.error_code, ending.error_message):
        assert text is not None
        assert "\0" not in text
        assert json.loads(json.dumps(text)) == text.encode().decode()


def test_a_long_message_is_cut() -> None:
    """The beginning of a message is what is kept."""
    assert settle(Fail("code", "x" * 10_000)).error_message == "x" * MAX_MESSAGE
