"""The ways in which an attempt can end, as values. Pure.

A capability ends with Done by returning, and with Fail by raising. What becomes of the row is
decided in one place, `settle`, which the ledger then writes by fence.
"""

from dataclasses import dataclass

from datamcp.errors import DatamcpError
from datamcp.tasks.states import State

MAX_MESSAGE = 2000  # characters of an error message that the ledger keeps


@dataclass(frozen=True, slots=True)
class Done:
    """The attempt succeeded. `result` is what the capability returned, as JSON text.

    `output` is, for a step, what its downstreams see of that, as JSON text too.
    """

    result: str
    output: str | None = None


@dataclass(frozen=True, slots=True)
class Fail:
    """The attempt failed for good, for this reason."""

    code: str
    message: str
    exception: Exception | None = None


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The attempt ran out of its `timeout` (seconds, where it is known)."""

    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """The attempt stopped because it was asked to."""


Outcome = Done | Fail | TimedOut | Cancel


@dataclass(frozen=True, slots=True)
class Ending:
    """What a finish writes: the final state, and the result or the error."""

    state: State
    result: str | None = None
    output: str | None = None
    error_code: str | None = None
    error_message: str | None = None


def settle(outcome: Outcome) -> Ending:
    """Return what the ledger records of an outcome."""
    match outcome:
        case Done(result, output):
            return Ending(State.SUCCEEDED, result, output)
        case Fail(code, message):
            return Ending(State.FAILED, error_code=code, error_message=message[:MAX_MESSAGE])
        case TimedOut(timeout):
            length = "" if timeout is None else f" of {timeout:g} s"
            message = f"stopped after its timeout{length}"
            return Ending(State.TIMED_OUT, error_code="timeout", error_message=message)
        case Cancel():
            return Ending(State.CANCELLED, error_code="cancelled", error_message="on request")


def failure(error: Exception) -> Fail:
    """Return the outcome of an attempt that raised this error."""
    code = error.code if isinstance(error, DatamcpError) else type(error).__name__
    return Fail(code, str(error) or type(error).__name__, error)
