import pytest
from celery.events.state import State as Watched

from datamcp.tasks.states import State
from datamcp.tasks.watch import contents, event_of

TASK = "01a204cc-991c-7d1a-80db-51f9afb7ce7c"


def told(*events: str, then: State | None) -> str:
    """Return the state in which whoever heard these events, and ours, sees a task."""
    watched = Watched()
    found = event_of(then)
    said = [(f"task-{name}", {}) for name in events] + ([found] if found else [])
    for clock, (kind, fields) in enumerate(said):
        times = {"timestamp": clock, "local_received": clock, "clock": clock}
        watched.event({"type": kind, "uuid": TASK, "hostname": "lab@here", **times, **fields})
    return str(watched.tasks[TASK].state)


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        (State.CANCELLED, "REVOKED"),
        (State.SKIPPED, "REVOKED"),
        (State.UPSTREAM_FAILED, "REVOKED"),
        (State.SCHEDULED, "RETRY"),
        (State.QUEUED, "RETRY"),
        (State.RETRYING, "RETRY"),
        (State.SUCCEEDED, "DUPLICATE"),
        (State.RUNNING, "STARTED"),
        (None, "STARTED"),
    ],
)
def test_a_task_that_was_not_started_does_not_seem_to_run(state: State | None, shown: str) -> None:
    """Unless another worker runs it, as far as anybody knows."""
    assert told("received", "started", then=state) == shown


@pytest.mark.parametrize("end", ["succeeded", "failed"])
def test_a_duplicate_changes_no_end(end: str) -> None:
    """Whoever heard the end goes on seeing it."""
    state = {"succeeded": State.SUCCEEDED, "failed": State.FAILED}[end]
    shown = {"succeeded": "SUCCESS", "failed": "FAILURE"}[end]
    assert told("received", "started", end, "received", "started", then=state) == shown


def test_a_task_that_waits_may_still_run() -> None:
    """What comes after counts."""
    waiting = event_of(State.QUEUED)
    assert waiting is not None
    assert told("started", "retried", "received", "started", "succeeded", then=None) == "SUCCESS"


def test_every_state_has_its_word() -> None:
    """No state is forgotten."""
    silent = [state for state in State if event_of(state) is None]
    assert silent == [State.RUNNING]


def test_a_step_is_named_in_place_of_its_parameters() -> None:
    """Which may be secret, and are in no message."""
    assert contents("by_hour", "r1") == "step by_hour of run r1"
    assert contents(None, "r1") == "kept in the ledger"
