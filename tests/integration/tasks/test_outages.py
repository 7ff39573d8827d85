import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.brokers import RedisServer
from support.databases import TestDatabases
from support.eventually import eventually
from support.outages import database_away, interrupt_database
from support.workers import (
    BEAT,
    SOON,
    Installation,
    foreign_app,
    installation,
    on_database,
    worker,
)

from datamcp import Task
from datamcp.clock import SystemClock
from datamcp.errors import BackendUnavailable
from datamcp.infra.embedded.valkey import EmbeddedValkey
from datamcp.tasks.enqueue import Enqueuer
from datamcp.tasks.publish import BrokerPublisher
from datamcp.tasks.states import State

ECHO = Task(task_type="lab.echo", parameters={"value": 1})


@pytest.fixture(scope="module")
def installed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Have an installation on PostgreSQL with a worker and beat."""
    with on_database("postgresql", request, tmp_path_factory.mktemp("outages")) as found:
        found.start(("lab", worker("lab")), ("beat", BEAT))
        yield found


@pytest.fixture
def database_url(installed: Installation) -> str:
    """Return the URL of the ledger's database."""
    return installed.settings["storage.database_url"]


def test_callers_are_told_that_the_database_is_away(
    installed: Installation, databases: TestDatabases, database_url: str
) -> None:
    """In one line that names it, without its password; afterwards all is as before."""
    with database_away(databases.admin_url, database_url):
        with pytest.raises(BackendUnavailable) as caught:
            installed.runtime.tasks.enqueue(ECHO)
        assert "database postgresql" in str(caught.value)
        assert "\n" not in str(caught.value)
    assert installed.run("lab.echo", value=1).data == 1


def test_callers_do_not_notice_that_the_database_has_restarted(
    installed: Installation, databases: TestDatabases, database_url: str
) -> None:
    """A connection that died while nobody used it is replaced."""
    assert installed.run("lab.echo", value=1).data == 1
    interrupt_database(databases.admin_url, database_url)
    for value in range(4):
        assert installed.run("lab.echo", value=value).data == value


def test_an_attempt_that_ends_while_the_database_is_away_is_recorded(
    installed: Installation, databases: TestDatabases, database_url: str
) -> None:
    """The worker writes its end as soon as it can."""
    tasks, gate = installed.runtime.tasks, installed.gate()
    task_id = tasks.enqueue(Task(task_type="lab.hold", parameters={"gate": str(gate), "word": "x"}))
    gate.await_arrival()
    with database_away(databases.admin_url, database_url):
        gate.open()
        eventually(lambda: "task.finish_delayed" in installed.logs(), timeout=SOON)
    result = tasks.result(task_id, timeout=SOON)
    assert (result.data, result.attempt) == ("x", 1)


def test_messages_that_come_while_the_database_is_away_are_not_lost(
    installed: Installation, databases: TestDatabases, database_url: str
) -> None:
    """Neither a foreign program's, which is in no ledger yet, nor one of ours."""
    tasks, before = installed.runtime.tasks, delays(installed)
    inserted, hint = enqueuer_of(installed).insert(ECHO)
    with foreign_app(installed) as foreign:
        with database_away(databases.admin_url, database_url):
            BrokerPublisher(installed.runtime.app).publish([hint])
            theirs = foreign.send_task("lab.echo", args=["theirs"], queue="lab")
            eventually(lambda: delays(installed) > before + 8, timeout=SOON)
        assert theirs.get(timeout=SOON) == "theirs"
    for task_id in (inserted.task_id, theirs.id):
        result = tasks.result(task_id, timeout=SOON)
        assert (result.state, result.attempt) == (State.SUCCEEDED, 1)


def delays(installed: Installation) -> int:
    """Return how often a claim found no database so far."""
    return installed.logs().count("task.claim_delayed")


def enqueuer_of(installed: Installation) -> Enqueuer:
    """Return what inserts a row without sending its message."""
    enqueuer = installed.runtime.app.enqueuer
    assert enqueuer is not None
    return enqueuer


def test_a_task_is_durable_while_the_broker_is_away(sqlite_url: str, tmp_path: Path) -> None:
    """The call returns soon, the row waits, and what waits is sent once the broker is back."""
    folder = tmp_path / "broker-away"
    folder.mkdir()
    with EmbeddedValkey() as valkey:
        server = RedisServer(valkey.redis_url, valkey.broker_url)
        with installation(folder, server, sqlite_url) as installed:
            installed.start(("lab", worker("lab")), ("beat", BEAT))
            assert installed.run("lab.echo", value=1).data == 1
            assert valkey.pid is not None
            os.kill(valkey.pid, signal.SIGKILL)
            eventually(lambda: valkey.pid is None)
            clock = SystemClock()
            began = clock.monotonic()
            enqueued = installed.runtime.tasks.submit(ECHO)
            assert clock.monotonic() - began < SOON
            assert enqueued.unpublished is not None
            assert enqueued.unpublished.startswith("broker redis+socket://")
            assert installed.runtime.tasks.status(enqueued.task_id).state is State.QUEUED
            valkey.restart()
            assert installed.runtime.tasks.result(enqueued.task_id, timeout=2 * SOON).data == 1
            assert installed.run("lab.echo", value=2).data == 2
