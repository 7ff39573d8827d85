"""What a RabbitMQ of short patience does to long tasks, and its sudden end to many: nothing."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from support.eventually import eventually
from support.proxy import proxy
from support.workers import (
    SOON,
    Installation,
    foreign_app,
    has_run_for,
    on_database,
    words_in,
    worker,
)

from chaos.rabbitmq import CONSUMER_TIMEOUT, HEARTBEAT, OwnRabbitMQ
from datamcp import Task
from datamcp.infra.processes import Child
from datamcp.tasks.states import State

PATIENCE = 2 * max(CONSUMER_TIMEOUT, 2 * HEARTBEAT)  # seconds after which the broker has acted


@pytest.fixture
def installed(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    own_rabbitmq: OwnRabbitMQ,
) -> Iterator[Installation]:
    """Have an installation on a RabbitMQ of our own."""
    url = {"broker.url": own_rabbitmq.broker_url}
    with on_database("rabbitmq", request, tmp_path_factory.mktemp("impatient"), **url) as found:
        yield found


def test_what_takes_longer_than_the_broker_waits_runs_once(installed: Installation) -> None:
    """In each kind of pool, and for a plain message, too; the workers go on."""
    workers = installed.start(
        ("processes", worker("single")),
        ("alone", worker("single", "-P", "solo")),
        ("threads", worker("lab", "-P", "threads")),
        ("clock", worker("bench")),
    )
    tasks, gates = installed.runtime.tasks, [installed.gate() for _ in range(4)]
    agents = ["single", "single", "lab"]
    ids = [
        tasks.enqueue(Task(task_type=f"{agent}.hold", parameters={"gate": str(gate)}))
        for agent, gate in zip(agents, gates, strict=False)
    ]
    ids.append(plain_hold(installed, str(gates[-1])))
    for gate in gates:
        gate.await_arrival()
    before = [installed.runtime.ledger.get(one) for one in ids]
    eventually(
        lambda: has_run_for(installed, ids[-1], PATIENCE, by="bench.add"), timeout=PATIENCE + SOON
    )
    after = [installed.runtime.ledger.get(one) for one in ids]
    assert [row and (row.state, row.fence, row.attempt) for row in after] == [
        row and (State.RUNNING, row.fence, 1) for row in before
    ]
    for gate in gates:
        gate.open()
    assert all(tasks.result(one, timeout=SOON).success for one in ids)
    logs = [child.log_path.read_text() for child in workers]
    assert [text.count("PRECONDITION_FAILED") for text in logs] == [0, 0, 0, 0]
    assert_they_work(installed, workers)


def plain_hold(installed: Installation, gate: str) -> str:
    """Have a program that shares the broker alone call a task; return its id."""
    with foreign_app(installed) as app:
        found: str = app.send_task("lab.hold", kwargs={"gate": gate}, queue="lab").id
    eventually(lambda: installed.runtime.ledger.get(found) is not None, timeout=SOON)
    return found


def assert_they_work(installed: Installation, workers: list[Child]) -> None:
    """Each of these has lived on, and takes tasks."""
    assert all(child.is_alive for child in workers), installed.logs()
    gates = [installed.gate() for _ in range(3)]
    ids = [
        installed.runtime.tasks.enqueue(
            Task(task_type=f"{agent}.hold", parameters={"gate": str(gate)})
        )
        for agent, gate in zip(["single", "single", "lab"], gates, strict=True)
    ]
    for gate in gates:
        gate.await_arrival()
        gate.open()
    assert all(installed.runtime.tasks.result(one, timeout=SOON).success for one in ids)


@pytest.mark.parametrize("times", [1, pytest.param(2, marks=pytest.mark.thorough)])
def test_the_end_of_the_broker_loses_and_doubles_nothing(
    installed: Installation, own_rabbitmq: OwnRabbitMQ, times: int
) -> None:
    """Under load, with what was enqueued meanwhile; and it finds its workers again."""
    installed.start(("one", worker("lab")), ("other", worker("lab")))
    tasks, path = installed.runtime.tasks, installed.file()

    def enqueue(count: int) -> list[str]:
        words = [uuid4().hex for _ in range(count)]
        return [
            tasks.enqueue(Task(task_type="lab.note", parameters={"path": str(path), "word": word}))
            for word in words
        ]

    ids = list(enqueue(100))
    for _ in range(times):
        naps = tasks.enqueue_many([Task(task_type="lab.nap") for _ in range(20)])
        assert own_rabbitmq.pid is not None
        os.kill(own_rabbitmq.pid, signal.SIGKILL)
        ids += [*naps, *enqueue(20)]
        own_rabbitmq.restart()
        ids += enqueue(20)
    assert all(tasks.result(one, timeout=2 * SOON).success for one in ids)
    assert Counter(Counter(words_in(path)).values()) == {1: 100 + 40 * times}


def test_a_worker_outlasts_a_silent_network(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    own_rabbitmq: OwnRabbitMQ,
) -> None:
    """It gives the connection up by itself, though it tells events, and takes tasks again."""
    parts = urlsplit(own_rabbitmq.broker_url)
    with proxy((str(parts.hostname), parts.port or 5672)) as between:
        settings = {
            "broker.url": f"amqp://guest:guest@127.0.0.1:{between.port}//",
            "monitoring.task_events": "true",
        }
        folder = tmp_path_factory.mktemp("silent")
        with on_database("rabbitmq", request, folder, **settings) as installed:
            (child,) = installed.start(("silent", worker("single")))
            assert installed.run("single.echo", value=1).success
            with between.hanging():
                eventually(
                    lambda: "Connection to broker lost" in child.log_path.read_text(),
                    timeout=PATIENCE + SOON,
                )
            assert installed.run("single.echo", value=2).success
            assert child.is_alive
