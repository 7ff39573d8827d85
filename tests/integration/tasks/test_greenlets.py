"""A worker whose tasks are greenlets: the pool `gevent`, on PostgreSQL."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from sqlalchemy import text
from support.brokers import RedisServer
from support.eventually import eventually
from support.workers import (
    BEAT,
    SOON,
    START,
    Installation,
    on_database,
    queues_removed,
    worker,
)

from datamcp import Task
from datamcp.tasks.ledger import Death, are_tasks
from datamcp.tasks.states import State

GREEN = '''
"""An agent whose capabilities wait."""

import time
from pathlib import Path

from datamcp import BaseAgent, capability
from sqlalchemy import text


def passed(gate):
    """Tell whether a gate is open, after showing that somebody stands before it."""
    Path(gate + ".reached").touch()
    return Path(gate + ".open").exists()


class Green(BaseAgent):
    """Waits."""

    agent_type = "green"

    @capability
    def nap(self, seconds: float) -> float:
        """Take a nap."""
        time.sleep(seconds)
        return seconds

    @capability
    def hold(self, gate: str, word: str = "") -> str:
        """Wait until the gate is opened."""
        while not passed(gate):
            time.sleep(0.01)
        return word

    @capability
    def call(self, deep: int, seconds: float) -> float:
        """Call a nap, through oneself."""
        if deep:
            return self.context.call("green.call", deep=deep - 1, seconds=seconds)
        return self.context.call("green.nap", seconds=seconds)

    @capability
    def until_cancelled(self, gate: str) -> bool:
        """Ask for a cancel until there is one."""
        while not self.context.cancelled:
            passed(gate)
            time.sleep(0.01)
        return True

    @capability
    def until_late(self) -> str:
        """Work until the time is nearly up."""
        from datetime import UTC, datetime, timedelta

        while datetime.now(UTC) < self.context.deadline - timedelta(seconds=0.2):
            time.sleep(0.01)
        return "in time"

    @capability(timeout=0.5)
    def never(self, gate: str) -> str:
        """Take no notice of the time."""
        return self.hold(gate)

    @capability(retry_count=1)
    def stumble(self) -> int:
        """Log, and fail the first time."""
        self.context.logger.info("attempt %s", self.context.attempt)
        if self.context.attempt == 1:
            raise ValueError("not yet")
        return self.context.attempt

    @capability
    def enter(self, number: int, gate: str) -> int:
        """Write a row together with the end; wait with it at a gate."""
        self.hold(gate)
        with self.context.transaction() as conn:
            conn.execute(text("INSERT INTO effects VALUES (:number)"), {"number": number})
            time.sleep(0.05)
        return number
'''
SLOTS = 20
LEASE = 4


@contextmanager
def green_installation(
    kind: str,
    request: pytest.FixtureRequest,
    folders: pytest.TempPathFactory,
    **more: str,
) -> Iterator[Installation]:
    """Have an installation of the agent, without a process."""
    folder = folders.mktemp("green")
    module = f"green_{folder.name.replace('-', '_')}_{kind}"
    (folder / f"{module}.py").write_text(GREEN)
    settings = {
        "agents.green.module": f"{module}:Green",
        "agents.green.concurrency": str(SLOTS),
        "agents.green.pool": "gevent",
        "agents.lab.pool": "gevent",
        "scheduler.lease": str(LEASE),
        **more,
    }
    sys.path.insert(0, str(folder))
    try:
        with on_database(kind, request, folder, **settings) as found:
            yield found
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop(module, None)


@pytest.fixture(
    scope="module", params=["redis", pytest.param("rabbitmq", marks=pytest.mark.thorough)]
)
def installed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Have a worker of twenty greenlets, as the configuration says, and beat; on each broker."""
    with ExitStack() as stack:
        more = {}
        if request.param == "rabbitmq":
            amqp_url: str = request.getfixturevalue("amqp_url")
            redis_server: RedisServer = request.getfixturevalue("redis_server")
            stack.enter_context(queues_removed(amqp_url))
            more = {"broker.url": amqp_url, "storage.cache_url": redis_server.broker_url}
        found = stack.enter_context(
            green_installation("postgresql", request, tmp_path_factory, **more)
        )
        with found.runtime.database.transaction() as connection:
            connection.execute(text("CREATE TABLE effects (number integer)"))
        found.start(("green", worker("green")), ("beat", BEAT))
        yield found


def enqueue(installed: Installation, capability: str, count: int = 1, **given: object) -> list[str]:
    """Enqueue tasks of a capability."""
    task = Task(task_type=f"green.{capability}", parameters=given)
    return [installed.runtime.tasks.enqueue(task) for _ in range(count)]


def test_all_wait_at_once(installed: Installation) -> None:
    """Each slot has a task at the same time, though there is one thread."""
    tasks, gate = installed.runtime.tasks, installed.gate()
    ids = enqueue(installed, "hold", SLOTS, gate=str(gate), word="done")

    def run_all() -> bool:
        return all(tasks.status(task_id).state is State.RUNNING for task_id in ids)

    eventually(run_all, timeout=SOON)
    gate.open()
    assert {tasks.result(task_id, timeout=SOON).data for task_id in ids} == {"done"}


def test_a_backlog_is_worked_off(installed: Installation) -> None:
    """Whoever is free takes the next, as long as there is one."""
    tasks = installed.runtime.tasks
    ids = enqueue(installed, "nap", 10 * SLOTS, seconds=0.01)
    assert all(tasks.result(task_id, timeout=2 * SOON).success for task_id in ids)


def test_what_is_longer_than_its_lease_runs_once(installed: Installation) -> None:
    """It is renewed as long as it waits."""
    ledger, gate = installed.runtime.ledger, installed.gate()
    (task_id,) = enqueue(installed, "hold", gate=str(gate))
    gate.await_arrival()
    first = ledger.get(task_id)
    assert first is not None

    def is_renewed_twice() -> bool:
        row = ledger.get(task_id)
        assert row is not None
        return (row.lease_until - first.lease_until).total_seconds() > LEASE

    eventually(is_renewed_twice, timeout=SOON)
    gate.open()
    assert installed.runtime.tasks.result(task_id, timeout=SOON).success
    last = ledger.get(task_id)
    assert last is not None
    assert last.fence == first.fence


def test_each_calls_its_own_pool(installed: Installation) -> None:
    """More than there are slots, and each of them three deep."""
    ids = enqueue(installed, "call", SLOTS + 5, deep=2, seconds=0.2)
    results = [installed.runtime.tasks.result(task_id, timeout=SOON) for task_id in ids]
    assert [result.data for result in results] == [0.2] * len(ids)


def test_a_running_task_is_cancelled(installed: Installation) -> None:
    """It is told, and ends."""
    tasks, gate = installed.runtime.tasks, installed.gate()
    (task_id,) = enqueue(installed, "until_cancelled", gate=str(gate))
    gate.await_arrival()
    assert tasks.cancel(task_id)
    assert tasks.result(task_id, timeout=SOON).state is State.CANCELLED


def test_a_task_can_keep_its_deadline(installed: Installation) -> None:
    """It reads it, and ends in time."""
    task = Task(task_type="green.until_late", timeout=1)
    tasks = installed.runtime.tasks
    assert tasks.result(tasks.enqueue(task), timeout=SOON).data == "in time"


def test_a_task_that_does_not_keep_its_deadline_has_timed_out(installed: Installation) -> None:
    """After its grace; it is not cut off, and what it returns is void."""
    tasks, gate = installed.runtime.tasks, installed.gate()
    (task_id,) = enqueue(installed, "never", gate=str(gate))
    assert tasks.result(task_id, timeout=SOON).state is State.TIMED_OUT
    gate.open()
    (other,) = enqueue(installed, "nap", seconds=0)
    assert tasks.result(other, timeout=SOON).success
    assert tasks.status(task_id).state is State.TIMED_OUT


def test_attempts_and_their_logs_are_kept(installed: Installation) -> None:
    """Those of one greenlet are not mixed up with those of others."""
    tasks = installed.runtime.tasks
    ids = enqueue(installed, "stumble", 10)
    assert [tasks.result(task_id, timeout=SOON).data for task_id in ids] == [2] * 10
    for task_id in ids:
        lines = [(line.attempt, line.message) for line in tasks.logs(task_id)]
        assert lines == [(1, "attempt 1"), (2, "attempt 2")]


def test_each_effect_is_there_once(installed: Installation) -> None:
    """Also those of tasks whose claim was taken meanwhile."""
    tasks, gate, numbers = installed.runtime.tasks, installed.gate(), range(SLOTS)
    ids = [
        tasks.enqueue(Task(task_type="green.enter", parameters={"number": n, "gate": str(gate)}))
        for n in numbers
    ]
    eventually(
        lambda: all(tasks.status(task_id).state is State.RUNNING for task_id in ids), timeout=SOON
    )
    installed.runtime.settler.give_back(are_tasks(ids[::2]), Death.EXPLAINED)
    gate.open()
    assert all(tasks.result(task_id, timeout=2 * SOON).success for task_id in ids)
    with installed.runtime.database.autocommit() as connection:
        found = Counter(connection.execute(text("SELECT number FROM effects")).scalars())
    assert found == Counter(numbers)


def test_a_database_that_cuts_everybody_off_ends_nothing(installed: Installation) -> None:
    """The driver says so to the greenlet that waited, and others open connections of their own."""
    tasks, gate = installed.runtime.tasks, installed.gate()
    ids = enqueue(installed, "hold", SLOTS // 2, gate=str(gate))
    eventually(
        lambda: all(tasks.status(task_id).state is State.RUNNING for task_id in ids), timeout=SOON
    )
    with installed.runtime.database.autocommit() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'datamcp' AND pid <> pg_backend_pid() "
                "AND datname = current_database()"
            )
        )
    gate.open()
    assert all(tasks.result(task_id, timeout=2 * SOON).success for task_id in ids)


def test_a_worker_that_is_told_to_end_finishes_what_it_runs(installed: Installation) -> None:
    """And takes nothing new."""
    tasks, gate = installed.runtime.tasks, installed.gate()
    (child,) = installed.start(("more", worker("green", "-n", "more@green")))
    ids = enqueue(installed, "hold", 2 * SLOTS, gate=str(gate))
    eventually(
        lambda: all(tasks.status(task_id).state is State.RUNNING for task_id in ids), timeout=SOON
    )
    child.terminate()
    gate.open()
    eventually(lambda: not child.is_alive, timeout=SOON)
    assert all(tasks.result(task_id, timeout=SOON).attempt == 1 for task_id in ids)


@pytest.mark.parametrize(
    ("kind", "agent", "reason"),
    [
        ("sqlite", "green", "the pool gevent needs PostgreSQL"),
        ("postgresql", "lab", "the pool gevent can't run what is `async` (lab.echo, "),
    ],
)
def test_what_can_t_run_in_greenlets_is_refused(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    agent: str,
    reason: str,
) -> None:
    """In one line, with what to use."""
    with green_installation(kind, request, tmp_path_factory) as found:
        ended = subprocess.run(
            [sys.executable, "-m", "celery", "-A", "datamcp", *worker(agent)],
            env=dict(found.environment),
            cwd=found.folder,
            capture_output=True,
            text=True,
            timeout=START,
            check=False,
        )
    assert ended.returncode == 2
    (line,) = [one for one in ended.stderr.splitlines() if one.startswith("Error: ")]
    assert reason in line
    assert "Use the pool threads or prefork" in line
