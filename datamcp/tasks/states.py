"""The states of tasks and steps, and the moves between them. Pure.

Every change of state in the ledger is one of `TRANSITIONS`; the diagram in the docs is drawn from
this table. A pipeline step is a task that also knows `skipped` and `upstream_failed`.
"""

from enum import StrEnum


class State(StrEnum):
    """Where a task is in its life."""

    SCHEDULED = "scheduled"
    """Due later, or waiting for its upstreams; not on a queue yet."""
    QUEUED = "queued"
    """May start at once; no worker has it."""
    RUNNING = "running"
    """An attempt is in progress."""
    RETRYING = "retrying"
    """An attempt failed, the next has its time."""
    SUCCEEDED = "succeeded"
    """Finished with a result."""
    FAILED = "failed"
    """Attempts used up, or not worth repeating."""
    CANCELLED = "cancelled"
    """Stopped on request."""
    TIMED_OUT = "timed_out"
    """Stopped by its timeout."""
    SKIPPED = "skipped"
    """A step that was not needed."""
    UPSTREAM_FAILED = "upstream_failed"
    """A step that can't start, because something before it failed."""


WAITING = frozenset({State.SCHEDULED, State.QUEUED, State.RETRYING})
"""Not started; a cancel takes effect at once."""

FINAL = frozenset(
    {
        State.SUCCEEDED,
        State.FAILED,
        State.CANCELLED,
        State.TIMED_OUT,
        State.SKIPPED,
        State.UPSTREAM_FAILED,
    }
)
"""Never change again."""

FAILURES = frozenset({State.FAILED, State.TIMED_OUT, State.UPSTREAM_FAILED})
"""Final states that make what depends on them fail, and the run with it."""

TRANSITIONS: dict[State, frozenset[State]] = {
    State.SCHEDULED: frozenset(
        {
            State.QUEUED,
            State.RUNNING,  # due, and its message came before the sweep that queues it
            State.CANCELLED,
            State.SKIPPED,
            State.UPSTREAM_FAILED,
            # Steps that need no slot: taken over, waited for, put together, marked by somebody.
            State.SUCCEEDED,
            State.FAILED,
            State.TIMED_OUT,
        }
    ),
    State.QUEUED: frozenset(
        {
            State.RUNNING,
            State.CANCELLED,
            State.SCHEDULED,  # its run was paused
        }
    ),
    State.RUNNING: frozenset(
        {
            State.QUEUED,  # its worker was lost
            State.SCHEDULED,  # snoozed
            State.RETRYING,
            State.SUCCEEDED,
            State.FAILED,
            State.CANCELLED,
            State.TIMED_OUT,
        }
    ),
    State.RETRYING: frozenset({State.QUEUED, State.RUNNING, State.CANCELLED}),
    **dict.fromkeys(FINAL, frozenset()),
}


def may_move(before: State, after: State) -> bool:
    """Tell whether a task may go from one state to the other."""
    return after in TRANSITIONS[before]
