"""What those who watch Celery's events, such as Flower, are told beside them. Pure.

Celery announces a task as started when a slot of the pool takes its message, and as done when its
function returns. Here a message may claim nothing (protocol R3), and a cancelled attempt returns
nothing; without a word more, such a task would seem to run for ever.
"""

from typing import Any, NamedTuple

from datamcp.tasks.states import State

_DUPLICATE = "task-duplicate"
"""Not one of Celery's: its `State` takes DUPLICATE for a state that SUCCESS and FAILURE outrank.

So it shows only where the end itself was not heard, and no success is counted twice.
"""


class Event(NamedTuple):
    """An event of Celery's: its type, and its fields."""

    type: str
    fields: dict[str, Any]


def event_of(state: State | None) -> Event | None:
    """Return what tells the state of a task that a message did not start.

    None where there is nothing to tell: another worker runs it, or nothing is known of it.
    """
    match state:
        case None | State.RUNNING:
            return None
        case State.SUCCEEDED | State.FAILED | State.TIMED_OUT:
            return Event(_DUPLICATE, {})
        case State.CANCELLED | State.SKIPPED | State.UPSTREAM_FAILED:
            return Event("task-revoked", {"terminated": False, "signum": None, "expired": False})
        case State.SCHEDULED | State.QUEUED | State.RETRYING:
            return Event("task-retried", {"exception": f"{state} in the ledger", "traceback": ""})


def contents(step_id: str | None, run_id: str | None) -> str:
    """Return what is shown in place of the parameters, which no message of ours carries."""
    return "kept in the ledger" if step_id is None else f"step {step_id} of run {run_id}"
