import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamcp.errors import InvalidParametersError, Problem
from datamcp.tasks.outcome import (
    MAX_CODE,
    MAX_MESSAGE,
    Cancel,
    Done,
    Ending,
    Fail,
    Final,
    Retry,
    Snooze,
    TimedOut,
    defer,
    failure,
    settle,
)
from datamcp.tasks.retry import LONGEST
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
