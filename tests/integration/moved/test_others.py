"""Programs and workers that have not been moved yet, beside those that have."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from celery import Celery, chain, chord
from support.eventually import eventually
from support.moved import Moved
from support.workers import SOON, foreign_app, words_in

from datamcp.tasks.states import State


@pytest.fixture(scope="module")
def foreign(in_processes: Moved) -> Iterator[Celery]:
    """Have the app of a program of the project that knows nothing of us, with its old queue."""
    with foreign_app(in_processes.installed) as app:
        app.conf.task_default_queue = "celery"
        yield app


def test_old_producers_are_served(in_processes: Moved, foreign: Celery) -> None:
    """Their messages are in the ledger once they have arrived; values keep their types."""
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    answer = foreign.send_task(f"{in_processes.package}-echo", (moment, b"x"), {"n": 1})
    assert answer.get(timeout=SOON) == [[moment, b"x"], {"n": 1}, ["datetime", "bytes", "int"]]
    status = in_processes.installed.runtime.tasks.status(answer.id)
    assert (status.state, status.queue) == (State.SUCCEEDED, "legacy")


def test_their_canvases_go_on_here(in_processes: Moved, foreign: Celery) -> None:
    """What follows a first message is sent by our workers, and counted by Celery."""
    add, total = in_processes.name("add"), in_processes.name("total")
    first = chain(foreign.signature(add, (1, 2)), foreign.signature(add, (3,))).apply_async()
    assert first.get(timeout=SOON) == 6
    header = [foreign.signature(add, (n, 1)) for n in range(4)]
    assert chord(header, app=foreign)(foreign.signature(total)).get(timeout=SOON) == 10


def test_their_delays_wait_in_the_ledger(in_processes: Moved, foreign: Celery) -> None:
    """A worker holds no message that is due later."""
    answer = foreign.send_task(in_processes.name("add"), (1, 2), countdown=3600)
    tasks = in_processes.installed.runtime.tasks
    eventually(lambda: answer.id in {one.task_id for one in tasks.list()}, timeout=SOON)
    status = tasks.status(answer.id)
    assert status.state is State.SCHEDULED
    assert status.scheduled_at is not None
    assert status.scheduled_at > status.created_at + timedelta(seconds=3000)
    soon = foreign.send_task(in_processes.name("add"), (1, 2), countdown=1)
    assert soon.get(timeout=SOON) == 3


def test_their_expiry_holds(in_processes: Moved, foreign: Celery) -> None:
    """Before the message is adopted, and after."""
    late = foreign.send_task(in_processes.name("add"), (1, 2), expires=-5)
    with pytest.raises(Exception, match="expired"):
        late.get(timeout=SOON)
    later = foreign.send_task(in_processes.name("add"), (1, 2), countdown=3600, expires=1)
    with pytest.raises(Exception, match="expired"):
        later.get(timeout=SOON)


def test_what_an_old_worker_retried_is_no_first_attempt(
    in_processes: Moved, foreign: Celery
) -> None:
    """Attempts that it made count, and so does what its message names."""
    answer = foreign.send_task(
        in_processes.name("describe"), (1,), retries=2, headers={"tenant": "b"}, time_limit=20
    )
    told = answer.get(timeout=SOON)
    assert (told["retries"], told["headers"]) == (2, {"tenant": "b"})
    assert in_processes.installed.runtime.tasks.status(answer.id).attempt == 3
    assert in_processes.installed.runtime.tasks._row(answer.id).timeout == 20
    path = in_processes.installed.file()
    failed = foreign.send_task(in_processes.name("flaky"), (str(path), 9), retries=3)
    with pytest.raises(ConnectionError, match="not yet"):
        failed.get(timeout=SOON)


def test_their_retries_keep_what_they_carry(in_processes: Moved, foreign: Celery) -> None:
    """Links and the rest of a chain wait with the row between the attempts."""
    path, errors = in_processes.installed.file(), in_processes.installed.file()
    fails = foreign.signature(in_processes.name("flaky"), (str(path), 1), immutable=True)
    after = foreign.signature(in_processes.name("describe"))
    assert chain(fails, after).apply_async().get(timeout=SOON)["args"] == ["after 1"]
    back = foreign.signature(in_processes.name("old_errback"), kwargs={"path": str(errors)})
    answer = foreign.send_task(in_processes.name("flaky"), (str(path), 9), link_error=back)
    eventually(lambda: words_in(errors) == [f"old:{answer.id}"], timeout=SOON)


def test_their_revokes_reach_the_ledger(in_processes: Moved, foreign: Celery) -> None:
    """Once a worker that heard of it meets the message."""
    task_id = str(uuid4())
    foreign.control.revoke(task_id)
    heard = foreign.control.inspect(timeout=3)
    eventually(
        lambda: any(task_id in ids for ids in (heard.revoked() or {}).values()), timeout=SOON
    )
    add = in_processes.task("add")
    add.apply_async((1,), task_id=task_id)
    tasks = in_processes.installed.runtime.tasks
    eventually(lambda: tasks.status(task_id).state is State.CANCELLED, timeout=SOON)


def test_an_unknown_task_of_theirs_is_refused(in_processes: Moved, foreign: Celery) -> None:
    """As by any Celery worker; nothing is written."""
    answer = foreign.send_task(in_processes.name("gone"), (1,))
    eventually(lambda: in_processes.installed.runtime.depths.ready("celery") == 0, timeout=SOON)
    assert in_processes.task("add").delay(1).get(timeout=SOON) == 1
    assert answer.id not in {one.task_id for one in in_processes.installed.runtime.tasks.list()}
