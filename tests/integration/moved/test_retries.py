from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from celery import chain, chord
from celery.exceptions import Reject
from support.eventually import eventually
from support.moved import Moved
from support.workers import SOON, words_in

from datamcp.tasks.ledger import Hint
from datamcp.tasks.publish import BrokerPublisher
from datamcp.tasks.states import State


def outcome(project: Moved, task_id: str) -> tuple[State, int, int]:
    """Return how a task ended: its state, its attempts, and how many it has."""
    project.installed.runtime.tasks.result(task_id, timeout=SOON)
    status = project.installed.runtime.tasks.status(task_id)
    return status.state, status.attempt, status.max_attempts


def test_a_task_is_made_again_by_the_book(project: Moved) -> None:
    """`self.retry` makes attempts of one row; the hooks hear of each once."""
    path = project.installed.file()
    answer = project.task("flaky").delay(str(path), 2)
    assert answer.get(timeout=SOON) == "after 2"
    assert outcome(project, answer.id) == (State.SUCCEEDED, 3, 4)
    again = ["retry:ConnectionError"]
    expected = ["start:0", *again, "start:1", *again, "start:2", "success:after", "2"]
    # The next attempt may begin on another slot before the hook of the last one has run.
    wanted = Counter([*expected, "return:SUCCESS"])
    eventually(lambda: Counter(words_in(path)) == wanted, timeout=SOON)


def test_attempts_run_out(project: Moved) -> None:
    """The error is that of the last one; the hooks of failure run once."""
    path = project.installed.file()
    answer = project.task("flaky").delay(str(path), 9)
    with pytest.raises(ConnectionError, match="not yet"):
        answer.get(timeout=SOON)
    assert outcome(project, answer.id) == (State.FAILED, 4, 4)
    assert project.installed.runtime.tasks.result(answer.id).error_code == "ConnectionError"
    eventually(lambda: words_in(path)[-1:] == ["return:FAILURE"], timeout=SOON)
    assert words_in(path).count("retry:ConnectionError") == 3
    assert words_in(path).count("failure:ConnectionError") == 1


def test_autoretry_backs_off(project: Moved) -> None:
    """`autoretry_for` with its delays, which the ledger keeps."""
    path = project.installed.file()
    answer = project.task("unreachable").delay(str(path))
    with pytest.raises(ConnectionError, match="nobody there"):
        answer.get(timeout=SOON)
    assert outcome(project, answer.id) == (State.FAILED, 3, 3)
    assert words_in(path).count("start:2") == 1


def test_there_may_be_no_limit(project: Moved) -> None:
    """`max_retries=None`."""
    answer = project.task("stubborn").delay(12)
    assert answer.get(timeout=SOON * 2) == 12
    assert outcome(project, answer.id) == (State.SUCCEEDED, 13, 0)


def test_an_attempt_may_have_other_arguments(project: Moved) -> None:
    """They are those of the row from then on, and what the hooks are told."""
    path = project.installed.file()
    answer = project.task("changing").delay(str(path), 0, by=2)
    assert answer.get(timeout=SOON) == 4
    assert outcome(project, answer.id)[1] == 3
    eventually(lambda: "return:SUCCESS" in words_in(path), timeout=SOON)


def test_a_retry_that_is_not_thrown_lets_the_task_go_on(project: Moved) -> None:
    """And counts once the task has ended."""
    path = project.installed.file()
    answer = project.task("quiet_retry").delay(str(path))
    assert answer.get(timeout=SOON) == "done"
    assert outcome(project, answer.id)[:2] == (State.SUCCEEDED, 2)
    assert words_in(path) == ["attempt:0", "went", "on", "attempt:1"]


def test_a_retry_may_be_raised_by_hand(project: Moved) -> None:
    """Celery would lose the task; here it is made again when it asks for it."""
    assert project.task("by_hand").delay().get(timeout=SOON) == 2


def test_a_waiting_attempt_is_in_the_ledger(project: Moved) -> None:
    """With its time, and why; it is no message that a worker holds. A cancel ends it."""
    tasks, path = project.installed.runtime.tasks, project.installed.file()
    answer = project.task("flaky").delay(str(path), 1, countdown=3600)
    eventually(lambda: tasks.status(answer.id).state is State.RETRYING, timeout=SOON)
    status = tasks.status(answer.id)
    assert status.scheduled_at is not None
    assert status.scheduled_at > datetime.now(UTC) + timedelta(seconds=3000)  # noqa: TID251  real
    assert status.error == "not yet"
    events = tasks.history(answer.id)
    assert [event.state for event in events] == [State.QUEUED, State.RUNNING, State.RETRYING]
    assert (events[-1].attempt, events[-1].message) == (1, "not yet")
    eventually(lambda: answer.state == "RETRY", timeout=SOON)
    assert project.installed.runtime.depths.ready("legacy") == 0
    answer.revoke()
    assert tasks.status(answer.id).state is State.CANCELLED
    with pytest.raises(Exception, match="on request"):
        answer.get(timeout=SOON)
    assert words_in(path) == ["start:0", "retry:ConnectionError"]


def test_a_short_delay_is_short(project: Moved) -> None:
    """An attempt after a tenth of a second does not wait for the sweep of a beat."""
    tasks = project.installed.runtime.tasks
    answer = project.task("flaky").delay(str(project.installed.file()), 3, countdown=0.1)
    assert answer.get(timeout=SOON) == "after 3"
    status = tasks.status(answer.id)
    assert status.started_at is not None
    assert status.started_at - status.created_at >= timedelta(seconds=0.3)


def test_a_chain_goes_on_after_the_last_attempt(project: Moved) -> None:
    """What follows runs once, with the result of the attempt that succeeded."""
    path, after = project.installed.file(), project.installed.file()
    answer = chain(
        project.task("flaky").si(str(path), 2), project.task("mark").si(str(after))
    ).apply_async()
    assert answer.get(timeout=SOON) == "marked"
    assert outcome(project, answer.parent.id)[1] == 3
    eventually(lambda: words_in(after)[-1:] == ["return:SUCCESS"], timeout=SOON)
    assert words_in(after).count("start:0") == 1


def test_a_chord_waits_for_the_last_attempt_of_each_member(project: Moved) -> None:
    """Its body does not start before, and starts once."""
    paths = [str(project.installed.file()) for _ in range(3)]
    body = project.task("describe")
    header = [project.task("flaky").si(path, number) for number, path in enumerate(paths)]
    answer = chord(header, body.s()).apply_async()
    assert answer.get(timeout=SOON)["args"] == [["after 0", "after 1", "after 2"]]
    assert outcome(project, answer.id)[1] == 1


def test_a_final_failure_calls_back_once(project: Moved) -> None:
    """Error callbacks do not hear of the attempts before."""
    path, errors = project.installed.file(), project.installed.file()
    answer = project.task("flaky").apply_async(
        (str(path), 9), link_error=project.task("errback").s(str(errors))
    )
    with pytest.raises(ConnectionError):
        answer.get(timeout=SOON)
    eventually(lambda: words_in(errors), timeout=SOON)
    assert words_in(errors) == [f"errback:{answer.id}:ConnectionError"]


def test_a_message_may_be_rejected(project: Moved) -> None:
    """To come again at once, which counts as no attempt; or for good, which is a failure."""
    again, never = project.installed.file(), project.installed.file()
    answer = project.task("reject").delay(str(again), True)
    assert answer.get(timeout=SOON) == "taken"
    assert words_in(again) == ["rejected:0", "rejected:0"]
    assert outcome(project, answer.id)[:2] == (State.SUCCEEDED, 1)
    answer = project.task("reject").delay(str(never), False)
    with pytest.raises(Reject):
        answer.get(timeout=SOON)
    assert outcome(project, answer.id)[:2] == (State.FAILED, 1)
    assert project.installed.runtime.tasks.result(answer.id).error_code == "rejected"


def test_a_task_may_end_itself_without_a_result(project: Moved) -> None:
    """`Ignore` is a cancel of its own; a state that it told before is how it ended."""
    tasks = project.installed.runtime.tasks
    answer = project.task("ignore").delay()
    result = tasks.result(answer.id, timeout=SOON)
    assert (result.state, result.error_code) == (State.CANCELLED, "ignored")
    assert answer.state == "PENDING"
    failed = project.task("ignore").delay("FAILURE")
    result = tasks.result(failed.id, timeout=SOON)
    told = (result.state, result.error_code, result.error_message)
    assert told == (State.FAILED, "ValueError", "by itself")
    eventually(lambda: failed.state == "FAILURE", timeout=SOON)
    done = project.task("ignore").delay("SUCCESS")
    assert tasks.result(done.id, timeout=SOON).state is State.SUCCEEDED


@pytest.mark.parametrize(
    ("kind", "expected"), [("task", 23), ("chain", 23), ("group", [0, 2, 4]), ("chord", 6)]
)
def test_a_task_may_be_replaced(project: Moved, kind: str, expected: object) -> None:
    """What replaces it takes its id, its row and its place in a chain."""
    answer = project.task("instead").delay(kind)
    assert answer.get(timeout=SOON) == expected
    assert outcome(project, answer.id)[0] is State.SUCCEEDED
    assert project.installed.runtime.tasks.result(answer.id).data == expected
    more = chain(project.task("instead").si(kind), project.task("describe").s()).apply_async()
    assert more.get(timeout=SOON)["args"] == [expected]


def test_a_replacement_that_fails_fails_the_task(project: Moved) -> None:
    """Also where it never gets as far as the task itself."""
    answer = project.task("instead").delay("failing chain")
    with pytest.raises(KeyError, match="in the middle"):
        answer.get(timeout=SOON)
    assert outcome(project, answer.id)[0] is State.FAILED


def told(project: Moved) -> list[str]:
    """Return what the project's receivers were told, but for messages that were sent."""
    return [word for word in words_in(project.signals) if word != "before_task_publish"]


def test_signals_are_sent_once_for_each_attempt(project: Moved) -> None:
    """And none for a message that starts nothing."""
    app = project.installed.runtime.app
    watched = app.task_of(f"{project.package}.signals.watched")
    project.signals.unlink(missing_ok=True)
    answer = watched.delay(1)
    assert answer.get(timeout=SOON) == "well"
    eventually(lambda: len(told(project)) == 6, timeout=SOON)
    numbers = {name: told(project).count(name) for name in told(project)}
    assert numbers == {"task_prerun": 2, "task_retry": 1, "task_success": 1, "task_postrun": 2}
    assert "before_task_publish" in words_in(project.signals)  # for the second attempt
    hint = Hint(answer.id, watched.name, "legacy", 5)
    BrokerPublisher(app).publish([hint] * 5)
    project.signals.unlink()
    failed = watched.delay(0, fatal=True)
    with pytest.raises(ValueError, match="for good"):
        failed.get(timeout=SOON)
    expected = ["task_prerun", "task_failure", "task_postrun"]
    eventually(lambda: told(project) == expected, timeout=SOON)
