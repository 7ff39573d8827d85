"""The ways in which an attempt can end, as values. Pure.

A capability ends with Done by returning, and with Fail by raising. What becomes of the row is
decided in one place, `settle`, which the ledger then writes by fence.
"""

from dataclasses import dataclass

from datamcp.errors import DatamcpError
from datamcp.tasks.states import State

MAX_CODE, MAX_MESSAGE = 200, 2000  # characters of an error's code and message that are kept


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
    exception: BaseException | None = None


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
            code, message = _storable(code, MAX_CODE), _storable(message, MAX_MESSAGE)
            return Ending(State.FAILED, error_code=code, error_message=message)
        case TimedOut(timeout):
            length = "" if timeout is None else f" of {timeout:g} s"
            message = f"stopped after its timeout{length}"
            return Ending(State.TIMED_OUT, error_code="timeout", error_message=message)
        case Cancel():
            return Ending(State.CANCELLED, error_code="cancelled", error_message="on request")


def failure(error: BaseException) -> Fail:
    """Return the outcome of an attempt that raised this error."""
    code = error.code if isinstance(error, DatamcpError) else type(error).__name__
    return Fail(code, _message(error) or type(error).__name__, error)


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  the error is a stranger's, and so is its text
        return ""


def _storable(text: str, length: int) -> str:
    """Return the beginning of a text, without what no database takes: NUL and lone surrogates."""
    return text[:length].replace("\0", "").encode(errors="replace").decode()
