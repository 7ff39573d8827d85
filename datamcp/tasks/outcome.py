"""The ways in which an attempt can end, as values. Pure.

A capability ends with Done by returning, and with Fail by raising. What becomes of the row is
decided here: `follow` says whether another attempt follows a failure, `settle` what is written of
an end, `defer` what is written where another attempt follows. The ledger then writes it by fence.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from datamcp.errors import DatamcpError
from datamcp.tasks.retry import RetryPolicy, rest, rest_unless_spent, within_bounds
from datamcp.tasks.states import State

MAX_CODE, MAX_MESSAGE = 200, 2000  # characters of an error's code and message that are kept

TIMEOUT = "timeout"
"""The code of an attempt that ran out of time."""

INTERRUPTED = "interrupted"
"""The code of an attempt that others have cut off, so that it is made anew."""

IGNORED = "ignored"
"""The code of a Celery task that ended itself without a result, by `Ignore`."""


@dataclass(frozen=True, slots=True)
class Done:
    """The attempt succeeded. `result` is what the capability returned, as JSON text.

    `output` is, for a step, what its downstreams see of that, as JSON text too.
    """

    result: str
    output: str | None = None


class Again(Enum):
    """Whether an attempt that failed is worth another one."""

    NEVER = "never"
    """It would fail again."""
    BY_CODE = "by code"
    """If the task's policy says so of this error."""
    ASKED = "asked"
    """The capability asked for it: as long as there are attempts left."""


@dataclass(frozen=True, slots=True)
class Fail:
    """The attempt failed, for this reason; `follow` says whether for good.

    `kinds` are other names of the error that a policy may know it by. `delay` is the seconds to
    rest that the capability asked for, in place of the policy's.
    """

    code: str
    message: str
    exception: BaseException | None = None
    again: Again = Again.BY_CODE
    kinds: Collection[str] = ()
    delay: float | None = None


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The attempt ran out of its `timeout` (seconds, where it is known)."""

    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """The attempt stopped because it was asked to, or for a reason of its own."""

    code: str = "cancelled"
    message: str = "on request"


@dataclass(frozen=True, slots=True)
class Retry:
    """The attempt failed, for this reason, and another one follows.

    It begins after `delay` seconds, or at `due`. `parameters` and `canvas` are JSON text; they and
    the queue are those of the task, where they do not change.
    """

    code: str
    message: str
    delay: float = 0.0
    due: datetime | None = None
    parameters: str | None = None
    canvas: str | None = None
    queue: str | None = None
    exception: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Snooze:
    """The attempt did nothing that counts; it is made anew after `delay` seconds.

    `code` says why, where the task did not ask for it itself.
    """

    delay: float = 0.0
    code: str | None = None


Final = Done | Fail | TimedOut | Cancel
Outcome = Final | Retry | Snooze


@dataclass(frozen=True, slots=True)
class Ending:
    """What a finish writes: the final state, and the result or the error."""

    state: State
    result: str | None = None
    output: str | None = None
    error_code: str | None = None
    error_message: str | None = None


@dataclass(frozen=True, slots=True)
class Deferral:
    """What is written of an attempt that another one follows: when, and why.

    `delay` is seconds from now, by the database's clock; `due` an instant that counts instead.
    An attempt that does not count uses up none of those that the task has.
    """

    state: State
    counts: bool
    delay: float
    due: datetime | None = None
    parameters: str | None = None
    canvas: str | None = None
    queue: str | None = None
    error_code: str | None = None
    error_message: str | None = None


def follow(outcome: Outcome, policy: RetryPolicy | None, attempt: int, chance: float) -> Outcome:
    """Return what follows an attempt (from 1): the outcome itself, or another attempt in its place.

    Only failures can be made good; without a policy none is. `chance` is a random number from 0
    to 1.
    """
    if policy is None:
        return outcome
    pause: float | None = None
    match outcome:
        case Fail(code, message, exception, Again.BY_CODE, kinds):
            pause = rest(policy, attempt, {code, *kinds}, chance)
        case Fail(code, message, exception, Again.ASKED, delay=delay):
            pause = rest_unless_spent(policy, attempt, chance)
            pause = pause if pause is None or delay is None else delay
        case TimedOut():
            code, message, exception = TIMEOUT, str(settle(outcome).error_message), None
            pause = rest(policy, attempt, {code}, chance)
    return outcome if pause is None else Retry(code, message, pause, exception=exception)


def settle(outcome: Final) -> Ending:
    """Return what the ledger records of an end."""
    match outcome:
        case Done(result, output):
            return Ending(State.SUCCEEDED, result, output)
        case Fail(code, message):
            code, message = _storable(code, MAX_CODE), _storable(message, MAX_MESSAGE)
            return Ending(State.FAILED, error_code=code, error_message=message)
        case TimedOut(timeout):
            length = "" if timeout is None else f" of {timeout:g} s"
            message = f"stopped after its timeout{length}"
            return Ending(State.TIMED_OUT, error_code=TIMEOUT, error_message=message)
        case Cancel(code, message):
            code, message = _storable(code, MAX_CODE), _storable(message, MAX_MESSAGE)
            return Ending(State.CANCELLED, error_code=code, error_message=message)


def defer(outcome: Retry | Snooze) -> Deferral:
    """Return what the ledger records of an attempt that is made again."""
    match outcome:
        case Retry(code, message, delay, due, parameters, canvas, queue):
            return Deferral(
                State.RETRYING,
                counts=True,
                delay=within_bounds(delay),
                due=due,
                parameters=parameters,
                canvas=canvas,
                queue=queue,
                error_code=_storable(code, MAX_CODE),
                error_message=_storable(message, MAX_MESSAGE),
            )
        case Snooze(delay, code):
            seconds = within_bounds(delay)
            return Deferral(State.SCHEDULED, counts=False, delay=seconds, error_code=code)


def failure(error: BaseException) -> Fail:
    """Return the outcome of an attempt that raised this error.

    Our own errors know whether the same call may succeed later; any other may.
    """
    message = _message(error) or type(error).__name__
    if isinstance(error, DatamcpError):
        again = Again.BY_CODE if error.is_retryable else Again.NEVER
        return Fail(error.code, message, error, again, _kinds(error))
    return Fail(type(error).__name__, message, error, kinds=_kinds(error))


def _kinds(error: BaseException) -> tuple[str, ...]:
    return tuple(kind.__name__ for kind in type(error).__mro__ if kind is not object)


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  the error is a stranger's, and so is its text
        return ""


def _storable(text: str, length: int) -> str:
    """Return the beginning of a text, without what no database takes: NUL and lone surrogates."""
    return text[:length].replace("\0", "").encode(errors="replace").decode()
