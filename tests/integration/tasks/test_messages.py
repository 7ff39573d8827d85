import json
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from celery import Celery
from kombu import Producer
from sqlalchemy import update
from support.eventually import eventually
from support.ledgers import new_task
from support.workers import SOON, START, Installation, foreign_app, on_database, words_in

from datamcp import Task
from datamcp.errors import TaskNotFoundError
from datamcp.infra.processes import Child
from datamcp.infra.redis import client_url, make_client
from datamcp.tasks.ledger import Hint, is_task
from datamcp.tasks.publish import HINT, BrokerPublisher
from datamcp.tasks.states import FINAL, State
from datamcp.tasks.tables import tasks as tasks_table


@pytest.fixture(scope="module")
def installed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Have an installation on SQLite without any process yet."""
    with on_database("sqlite", request, tmp_path_factory.mktemp("messages")) as found:
        yield found


@pytest.fixture(scope="module")
def worker(installed: Installation) -> Child:
    """Return the worker of `lab`."""
    return installed.start_worker("lab")


@pytest.fixture
def foreign(installed: Installation) -> Iterator[Celery]:
    """Have the app of a program that knows our broker and nothing else of us."""
    with foreign_app(installed) as app:
        yield app


def hint_of(installed: Installation, task_id: str) -> Hint:
    """Return the message that tells of a task."""
    status = installed.runtime.tasks.status(task_id)
    return Hint(task_id, status.task_type, status.queue, status.priority)


def has_ended(installed: Installation, task_id: str) -> bool:
    """Tell whether a task is in the ledger, and has ended."""
    try:
        return installed.runtime.tasks.status(task_id).state in FINAL
    except TaskNotFoundError:
        return False


def all_is_done(installed: Installation) -> None:
    """Wait until the worker has dealt with everything that was sent before."""
    eventually(lambda: installed.runtime.depths.ready("lab") == 0, timeout=SOON)
    for _ in range(4):
        assert installed.run("lab.echo", value=1).data == 1


@pytest.mark.usefixtures("worker")
def test_a_message_that_comes_many_times_starts_one_attempt(installed: Installation) -> None:
    """Duplicates that come before, while and after the task runs claim nothing."""
    tasks, path = installed.runtime.tasks, installed.file()
    publisher = BrokerPublisher(installed.runtime.app)
    task_id = tasks.enqueue(
        Task(task_type="lab.note", parameters={"path": str(path), "word": "once"})
    )
    hint = hint_of(installed, task_id)
    publisher.publish([hint] * 10)
    result = tasks.result(task_id, timeout=SOON)
    publisher.publish([hint] * 10)
    all_is_done(installed)
    assert words_in(path) == ["once"]
    assert tasks.result(task_id) == result
    assert result.attempt == 1


@pytest.mark.usefixtures("worker")
def test_a_message_of_a_cancelled_task_starts_nothing(installed: Installation) -> None:
    """Nor does one of a task whose time has not come."""
    tasks, path = installed.runtime.tasks, installed.file()
    parameters = {"path": str(path), "word": "never"}
    now = tasks.status(installed.run("lab.echo", value=1).task_id).finished_at
    assert now is not None
    later = Task(
        task_type="lab.note", parameters=parameters, scheduled_at=now.replace(year=now.year + 1)
    )
    task_ids = [tasks.enqueue(later), tasks.enqueue(later)]
    assert tasks.cancel(task_ids[1])
    hints = [hint_of(installed, task_id) for task_id in task_ids]
    BrokerPublisher(installed.runtime.app).publish(hints * 3)
    all_is_done(installed)
    assert words_in(path) == []
    assert tasks.status(task_ids[0]).state is State.SCHEDULED
    assert tasks.status(task_ids[1]).state is State.CANCELLED


@pytest.mark.usefixtures("worker")
def test_a_forged_hint_starts_nothing(installed: Installation, foreign: Celery) -> None:
    """A message that names no row of the ledger runs nothing and writes nothing."""
    path, forged = installed.file(), str(uuid4())
    arguments = {"path": str(path), "word": "forged"}
    foreign.send_task("lab.note", kwargs=arguments, queue="lab", task_id=forged, headers={HINT: 1})
    all_is_done(installed)
    assert words_in(path) == []
    assert installed.runtime.database is not None
    assert forged not in {status.task_id for status in installed.runtime.tasks.list(limit=1000)}


@pytest.mark.usefixtures("worker")
def test_a_foreign_message_is_adopted(installed: Installation, foreign: Celery) -> None:
    """A program that does not use our app is answered, and its task is in the ledger."""
    answer = foreign.send_task("lab.echo", args=[{"a": 1}], queue="lab")
    assert answer.get(timeout=SOON) == {"a": 1}
    result = installed.runtime.tasks.result(answer.id, timeout=SOON)
    assert (result.state, result.data) == (State.SUCCEEDED, {"a": 1})
    events = installed.runtime.tasks.history(answer.id)
    assert [event.state for event in events] == [State.QUEUED, State.RUNNING, State.SUCCEEDED]


@pytest.mark.usefixtures("worker")
def test_a_foreign_message_that_comes_twice_runs_once(
    installed: Installation, foreign: Celery
) -> None:
    """Its id is the row's id."""
    path, task_id = installed.file(), str(uuid4())
    for _ in range(3):
        foreign.send_task("lab.note", args=[str(path), "once"], queue="lab", task_id=task_id)
    assert installed.runtime.app.AsyncResult(task_id).get(timeout=SOON) > 0
    all_is_done(installed)
    assert words_in(path) == ["once"]


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"args": [1, 2, 3]}, "takes 1 by position, got 3"),
        ({"args": []}, "value: is required"),
        ({"kwargs": {"valu": 1}}, "did you mean 'value'"),
    ],
)
def test_a_foreign_message_with_wrong_parameters_fails(
    installed: Installation, foreign: Celery, arguments: dict[str, object], complaint: str
) -> None:
    """Its sender is told; the ledger has nothing of it."""
    answer = foreign.send_task("lab.echo", queue="lab", **arguments)
    with pytest.raises(Exception, match=complaint):
        answer.get(timeout=SOON)
    assert answer.id not in {row.task_id for row in installed.runtime.tasks.list(limit=1000)}


def as_pickle(installed: Installation, foreign: Celery) -> None:
    """Send code, dressed up as data."""
    foreign.send_task("lab.echo", args=[1], queue="lab", serializer="pickle")


def as_no_task(installed: Installation, foreign: Celery) -> None:
    """Send JSON that is no task."""
    with foreign.connection() as connection:
        Producer(connection).publish({"what": "ever"}, routing_key="lab", serializer="json")


def as_unknown_task(installed: Installation, foreign: Celery) -> None:
    """Send a task that nobody has."""
    foreign.send_task("lab.unheard_of", queue="lab")


def as_bad_body(installed: Installation, foreign: Celery) -> None:
    """Send a task whose arguments are no arguments."""
    with foreign.connection() as connection:
        Producer(connection).publish(
            "nonsense",  # not three things
            routing_key="lab",
            serializer="json",
            headers={"task": "lab.echo", "id": str(uuid4()), "lang": "py"},
        )


def as_odd_arguments(installed: Installation, foreign: Celery) -> None:
    """Send keyword arguments where a list should be, and the other way round."""
    with foreign.connection() as connection:
        for body in ([{"a": 1}, [1, 2], {}], [None, None, None], ["text", "text", "text"]):
            Producer(connection).publish(
                body,
                routing_key="lab",
                serializer="json",
                headers={"task": "lab.echo", "id": str(uuid4()), "lang": "py"},
            )


def as_odd_body(installed: Installation, foreign: Celery) -> None:
    """Send bodies that hold nothing, or what is beside the arguments and is no canvas."""
    headers = {"task": "lab.echo", "lang": "py"}
    bodies = ("17", "null", "true", "1.5", '"args"', "[]", "{}", '{"args": 3}', "[[1], {}, [2]]")
    canvases = ('{"errbacks": 5}', '{"chain": {}}', '{"chord": [1]}', '"text"', "17")
    with foreign.connection() as connection:
        for body in (*bodies, *(f"[[1], {{}}, {canvas}]" for canvas in canvases)):
            for mark in ({}, {HINT: 1}):
                Producer(connection).publish(
                    body,
                    routing_key="lab",
                    content_type="application/json",
                    content_encoding="utf-8",
                    headers={**headers, "id": str(uuid4()), **mark},
                )


def as_odd_unknown_task(installed: Installation, foreign: Celery) -> None:
    """Send tasks that nobody has, and that have no id to which that could be told."""
    with foreign.connection() as connection:
        for headers in ({}, {"id": ["a", "list"]}, {"id": None}, {"id": 5}):
            for body in ([[], {}, {}], {"task": "lab.unheard_of"}, {"id": 5}):
                Producer(connection).publish(
                    body,
                    routing_key="lab",
                    serializer="json",
                    headers={"task": "lab.unheard_of", "lang": "py", **headers},
                )
        # As Celery 3 sent them.
        for body in ({"task": "lab.unheard_of"}, {"task": 5, "id": 5}, {"task": "lab.echo"}):
            Producer(connection).publish(body, routing_key="lab", serializer="json")


def as_huge(installed: Installation, foreign: Celery) -> None:
    """Send far more than anybody should."""
    huge = foreign.send_task("lab.echo", args=["x" * 4_000_000], queue="lab", ignore_result=True)
    eventually(lambda: has_ended(installed, huge.id), timeout=START)  # it has a slot until then


def as_odd_id(installed: Installation, foreign: Celery) -> None:
    """Send ids that no column takes."""
    for task_id in ("x" * 10_000, "a\0b", " "):
        foreign.send_task("lab.echo", args=[1], queue="lab", task_id=task_id, ignore_result=True)


def as_odd_headers(installed: Installation, foreign: Celery) -> None:
    """Send ids and names that are no text."""
    usual = {"task": "lab.echo", "id": "odd", "lang": "py"}
    odd = ({"id": ["a", "list"]}, {"id": {}}, {"id": None}, {"id": 5}, {"task": ["a", "list"]})
    with foreign.connection() as connection:
        for headers in (*odd, *_ODD):
            for mark in ({}, {HINT: 1}):
                Producer(connection).publish(
                    [[], {}, {}],
                    routing_key="lab",
                    serializer="json",
                    headers={**usual, **headers, **mark},
                )


_ODD: tuple[dict[str, object], ...] = (
    {"task": 42},
    {"task": {}},
    {"eta": "never"},
    {"eta": "0001-01-01T00:00:00+14:00"},
    {"expires": [1]},
    {"expires": "2001-01-01T00:00:00", "id": "a\0b"},
    {"retries": "many"},
    {"timelimit": "none"},
    {"timelimit": 5},
    {"timelimit": ["a", "b"]},
    {"stamped_headers": 5},
    {"stamped_headers": ["a"], "stamps": 5},
    {"compression": "none such"},
    {"datamcp_batch": 5},
    {"group": 5, "root_id": {}, "parent_id": [], "ignore_result": "maybe"},
)


_PROPERTIES: dict[str, object] = {
    "delivery_tag": "x",
    "delivery_info": {"exchange": "", "routing_key": "lab"},
    "body_encoding": "base64",
}
_ENVELOPE: dict[str, object] = {
    "body": "W1tdLCB7fSwge31d",
    "headers": {"task": "lab.echo", "id": "enveloped", "lang": "py"},
    "content-type": "application/json",
    "content-encoding": "utf-8",
    "properties": _PROPERTIES,
}
_ODD_PARTS: tuple[dict[str, object], ...] = (
    {"body": None},
    {"body": 5},
    {"body": ["a"]},
    {"content-encoding": 5},
    {"content-encoding": "none-such"},
    {"content-type": ["a"]},
    {"content-type": None},
)
_ODD_PROPERTIES: tuple[dict[str, object], ...] = (
    {"delivery_info": {}},
    {"delivery_info": {"exchange": 5, "routing_key": {}}},
    {"body_encoding": "rot13"},
    {"body_encoding": 5},
    {"body_encoding": None},
    {"priority": "high"},
    {"priority": {}},
    {"reply_to": 5, "correlation_id": {}},
)


def as_no_envelope(installed: Installation, foreign: Celery) -> None:
    """Put into the queue itself what no client of Celery would write there."""
    entries = (
        b"not json at all",
        b"[]",
        b"{}",
        b"null",
        b"17",
        b"\xff\xfe\x00",
        b'{"body": "%%%", "headers": {}, "properties": {"body_encoding": "base64"}}',
        b'{"body": "e30=", "properties": {"delivery_info": 3, "delivery_tag": "x"}}',
        b'{"body": "e30=", "headers": 3, "properties": {}}',
        *(json.dumps({**_ENVELOPE, **part}) for part in _ODD_PARTS),
        *(
            json.dumps({**_ENVELOPE, "properties": {**_PROPERTIES, **part}})
            for part in _ODD_PROPERTIES
        ),
    )
    url = str(client_url(installed.settings["broker.url"]))
    with make_client(url) as client:
        client.lpush(f"{installed.settings['broker.key_prefix']}lab", *entries)


SENDERS = [
    as_pickle,
    as_no_envelope,
    as_no_task,
    as_unknown_task,
    as_bad_body,
    as_odd_arguments,
    as_huge,
    as_odd_id,
    as_odd_headers,
    as_odd_body,
    as_odd_unknown_task,
]


@pytest.mark.parametrize("send", SENDERS)
def test_a_message_that_makes_no_sense_does_no_harm(
    installed: Installation,
    worker: Child,
    foreign: Celery,
    send: Callable[[Installation, Celery], None],
) -> None:
    """The worker puts it aside and goes on: with the same process, and with all its slots."""
    send(installed, foreign)
    all_is_done(installed)
    assert worker.is_alive
    gates = [installed.gate(), installed.gate()]
    tasks = installed.runtime.tasks
    task_ids = [
        tasks.enqueue(Task(task_type="lab.hold", parameters={"gate": str(gate)})) for gate in gates
    ]
    try:
        for gate in gates:
            gate.await_arrival()
    finally:  # or no other test had a slot
        for gate in gates:
            gate.open()
    assert all(tasks.result(task_id, timeout=SOON).success for task_id in task_ids)


@pytest.mark.usefixtures("worker")
def test_a_hint_of_an_unknown_task_waits_for_who_knows_it(installed: Installation) -> None:
    """A worker of an older version fails nothing: the row stays queued."""
    ledger = installed.runtime.ledger
    task = new_task(task_type="lab.of_tomorrow", queue="lab")
    ledger.insert(task)
    hint = Hint(task.task_id, task.task_type, task.queue, task.priority)
    BrokerPublisher(installed.runtime.app).publish([hint])
    eventually(lambda: "task.unknown_here" in installed.logs(), timeout=SOON)
    assert installed.runtime.tasks.status(task.task_id).state is State.QUEUED
    installed.runtime.tasks.cancel(task.task_id)


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("capability", ["hold", "stubborn"])
def test_the_ledger_says_how_much_time_there_is(installed: Installation, capability: str) -> None:
    """A message that names no limit gives a task no more time than it has."""
    tasks, gate = installed.runtime.tasks, installed.gate()
    later = tasks.status(installed.run("lab.echo", value=1).task_id).created_at
    task = Task(
        task_type=f"lab.{capability}",
        parameters={"gate": str(gate)},
        timeout=1.0,
        scheduled_at=later.replace(year=later.year + 1),
    )
    task_id = tasks.enqueue(task)
    with installed.runtime.ledger.database.transaction() as connection:
        queued = {"state": State.QUEUED, "scheduled_at": None}
        connection.execute(update(tasks_table).where(is_task(task_id)).values(queued))
    BrokerPublisher(installed.runtime.app).publish([hint_of(installed, task_id)])
    gate.await_arrival()
    assert tasks.result(task_id, timeout=SOON).state is State.TIMED_OUT
