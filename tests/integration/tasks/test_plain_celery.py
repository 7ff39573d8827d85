import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from celery import chain, chord, group
from celery.exceptions import TaskRevokedError
from support.eventually import eventually
from support.workers import (
    BEAT,
    SOON,
    Installation,
    foreign_app,
    on_database,
    words_in,
    worker,
)

from datamcp.errors import InvalidParametersError, TaskError
from datamcp.tasks.states import State

CHECKOUT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def installed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Have an installation with workers of both agents, and beat."""
    with on_database("postgresql", request, tmp_path_factory.mktemp("plain")) as found:
        found.start(("bench", worker("bench")), ("lab", worker("lab")), ("beat", BEAT))
        yield found


def python(installed: Installation, *arguments: str) -> str:
    """Run Python as a user of the installation does; return what it prints."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=installed.folder,
        env=installed.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


PROGRAM = """
import json
from celery import chain, group
from {package}.bench import Bench

add = Bench.add
print(json.dumps([
    add.delay(1, b=2).get(timeout=30),
    add.apply_async((1,), {{"b": 2}}, priority=9).get(timeout=30),
    chain(add.s(1, 2), add.s(3), add.s(b=4)).apply_async().get(timeout=30),
    (add.s(1, 2) | add.s(3)).delay().get(timeout=30),
    group(add.s(n, n) for n in range(3)).apply_async().get(timeout=30),
]))
"""


def package_of(installed: Installation) -> str:
    """Return the name of the package that has the agents."""
    return installed.settings["agents.bench.module"].partition(".")[0]


def test_a_capability_of_its_class_is_a_celery_task(installed: Installation) -> None:
    """`delay`, `apply_async` and `s` do in any program what Celery's documentation says."""
    printed = python(installed, "-c", PROGRAM.format(package=package_of(installed)))
    assert json.loads(printed) == [3, 3, 10, 6, [0, 2, 4]]


def test_a_plain_call_is_in_the_ledger(installed: Installation) -> None:
    """Its result is at the result backend, and its row as complete as any."""
    answer = installed.runtime.app.task_of("bench.add").delay(1, b=2)
    assert answer.get(timeout=SOON) == 3
    status = installed.runtime.tasks.status(answer.id)
    assert (status.state, status.attempt, status.progress) == (State.SUCCEEDED, 1, 0.5)
    assert installed.runtime.tasks.result(answer.id).data == 3


def test_a_chain_passes_each_result_on(installed: Installation) -> None:
    """Every link is a row of its own."""
    add = installed.runtime.app.task_of("bench.add")
    answer = chain(add.s(1, 1), add.s(2), add.s(3)).apply_async()
    assert answer.get(timeout=SOON) == 7
    links = [answer, answer.parent, answer.parent.parent]
    results = [installed.runtime.tasks.result(link.id, timeout=SOON).data for link in links]
    assert results == [7, 4, 2]


def test_a_chord_calls_back_with_all_results(installed: Installation) -> None:
    """The body starts once, after the whole header."""
    app = installed.runtime.app
    add, echo = app.task_of("bench.add"), app.task_of("lab.echo")
    answer = chord(group(add.s(n, 1) for n in range(5)), echo.s()).apply_async()
    assert sorted(answer.get(timeout=SOON)) == [1, 2, 3, 4, 5]
    assert installed.runtime.tasks.result(answer.id, timeout=SOON).success


def test_a_link_is_called_with_the_result(installed: Installation) -> None:
    """`link` and `link_error` are those of Celery, and are kept in the ledger with their call."""
    app, path = installed.runtime.app, installed.file()
    note = app.task_of("lab.note")
    app.task_of("lab.echo").apply_async((str(path),), link=note.s("after success"))
    eventually(lambda: words_in(path) == ["after", "success"], timeout=SOON)
    app.task_of("lab.fail").apply_async((), link_error=note.si(str(path), "after failure"))
    eventually(lambda: words_in(path)[2:] == ["after", "failure"], timeout=SOON)


def test_a_failure_stops_a_chain(installed: Installation) -> None:
    """The error is that of the link that failed; what follows it never starts."""
    app, path = installed.runtime.app, installed.file()
    fail, note = app.task_of("lab.fail"), app.task_of("lab.note")
    answer = chain(fail.si("on purpose"), note.si(str(path), "never")).apply_async()
    with pytest.raises(Exception, match="on purpose"):
        answer.parent.get(timeout=SOON)
    with pytest.raises(Exception, match="on purpose"):
        answer.get(timeout=SOON)
    assert words_in(path) == []


def test_a_countdown_is_a_time_to_come(installed: Installation) -> None:
    """The call waits in the ledger, not in a worker's memory."""
    answer = installed.runtime.app.task_of("bench.add").apply_async((1, 2), countdown=1.5)
    assert installed.runtime.tasks.status(answer.id).state is State.SCHEDULED
    assert answer.get(timeout=SOON) == 3
    status = installed.runtime.tasks.status(answer.id)
    assert status.started_at is not None
    assert status.scheduled_at is not None
    assert status.started_at >= status.scheduled_at


def test_a_chain_may_begin_later(installed: Installation) -> None:
    """What follows is kept with the first link."""
    add = installed.runtime.app.task_of("bench.add")
    answer = chain(add.s(1, 2), add.s(3)).apply_async(countdown=1)
    assert answer.get(timeout=SOON) == 6


@pytest.mark.parametrize(
    ("args", "kwargs"), [((), {}), (("1",), {}), ((1,), {"bb": 2}), ((1, 2, 3), {})]
)
def test_wrong_parameters_are_told_to_the_caller(
    installed: Installation, args: tuple[object, ...], kwargs: dict[str, object]
) -> None:
    """As with `enqueue`: nothing is sent."""
    with pytest.raises(InvalidParametersError, match=r"bench\.add"):
        installed.runtime.app.task_of("bench.add").delay(*args, **kwargs)


def test_what_is_not_supported_is_refused(installed: Installation) -> None:
    """A promise that would not be kept is not made."""
    add = installed.runtime.app.task_of("bench.add")
    with pytest.raises(TaskError, match="serializer 'pickle' is refused"):
        add.apply_async((1,), serializer="pickle")
    with pytest.raises(TaskError, match="`exchange` is not supported"):
        add.apply_async((1,), exchange="topics")
    with pytest.raises(TaskError, match="no worker that has it serves queue 'nowhere'"):
        add.apply_async((1,), queue="nowhere")


def test_a_call_expires(installed: Installation) -> None:
    """What has not started by then never does, and its caller learns why."""
    answer = installed.runtime.app.task_of("bench.add").apply_async(
        (1,), countdown=3600, expires=0.5
    )
    with pytest.raises(TaskRevokedError, match="expired"):
        answer.get(timeout=SOON)
    result = installed.runtime.tasks.result(answer.id, timeout=SOON)
    assert (result.state, result.error_code) == (State.CANCELLED, "expired")


def test_a_call_whose_process_dies_is_answered(installed: Installation) -> None:
    """It runs again, and the caller learns of nothing else."""
    path = installed.file()
    answer = installed.runtime.app.task_of("lab.die").delay(str(path), 1)
    assert answer.get(timeout=SOON) == "survived"
    assert len(words_in(path)) == 2


def test_a_chain_goes_on_after_the_death_of_a_process(installed: Installation) -> None:
    """What follows a link is kept in the ledger with it."""
    app, path = installed.runtime.app, installed.file()
    answer = chain(app.task_of("lab.die").si(str(path), 1), app.task_of("bench.add").si(1, 2))
    assert answer.apply_async().get(timeout=SOON) == 3


def test_a_call_that_ends_outside_of_a_process_is_answered(installed: Installation) -> None:
    """Cancelled before it started, or fatal to every process: the caller does not wait for ever."""
    app, tasks = installed.runtime.app, installed.runtime.tasks
    fatal = app.task_of("lab.die").delay(str(installed.file()), 9)
    waiting = app.task_of("bench.add").apply_async((1,), countdown=3600)
    assert tasks.cancel(waiting.id)
    with pytest.raises(Exception, match="on request"):
        waiting.get(timeout=SOON)
    with pytest.raises(Exception, match="3 workers died"):
        fatal.get(timeout=SOON * 2)


def test_a_foreign_program_can_send_a_chain(installed: Installation) -> None:
    """Its messages are adopted one by one."""
    with foreign_app(installed) as foreign:
        add = "bench.add"
        first = foreign.signature(add, args=(1, 2), queue="bench")
        answer = (first | foreign.signature(add, args=(3,), queue="bench")).apply_async()
        assert answer.get(timeout=SOON) == 6
    assert installed.runtime.tasks.result(answer.id, timeout=SOON).data == 6
    assert installed.runtime.tasks.result(answer.parent.id, timeout=SOON).data == 3


@pytest.mark.parametrize(
    ("app", "command"),
    [("workers.research", ["worker"]), ("workers.pipelines", ["worker"]), ("beat", BEAT)],
)
def test_the_processes_of_a_deployment_start(
    installed: Installation, app: str, command: Sequence[str]
) -> None:
    """In a checkout their modules are what `celery -A` is given."""
    (child,) = installed.start(("deployment", command), app=app, cwd=CHECKOUT)
    child.stop(1)
