"""Flower as users see it: what it shows, who may see it, and what it leaves behind."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from redis import Redis
from support.brokers import RedisServer
from support.eventually import eventually
from support.flower import Flower, start_flower
from support.shell import Shell, shell
from support.workers import SOON, Installation, installation, queues_removed

from datamcp import PipelineDefinition, Task
from datamcp.clock import SystemClock
from datamcp.infra.embedded.valkey import EmbeddedValkey
from datamcp.tasks.ledger import Hint
from datamcp.tasks.publish import BrokerPublisher

LOGIN = "ops:correct horse"
PASSWORD = "battery-staple"  # noqa: S105  of a server that lives for one test


@dataclass(frozen=True)
class Watched:
    """An installation with one pool, and two Flowers: one open, one with a login."""

    installed: Installation
    open: Flower
    closed: Flower

    def enqueue(self, task_type: str, **parameters: object) -> str:
        """Enqueue a task."""
        return self.installed.runtime.tasks.enqueue(
            Task(task_type=task_type, parameters=parameters)
        )

    def await_state(self, task_id: str, state: str) -> None:
        """Wait until Flower shows a task in a state."""

        def check() -> None:
            assert self.open.states().get(task_id) == state, self.open.tasks().get(task_id)

        eventually(lambda: check() is None, timeout=SOON)

    def send(self, task_id: str, task_type: str) -> None:
        """Send a task's message once more."""
        BrokerPublisher(self.installed.runtime.app).publish([Hint(task_id, task_type, "lab", 5)])


@pytest.fixture(scope="module")
def watched(
    tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer, sqlite_template: Path
) -> Iterator[Watched]:
    """Have the installation, in development, and its Flowers."""
    folder = tmp_path_factory.mktemp("watched")
    database = folder / "ledger.db"
    database.write_bytes(sqlite_template.read_bytes())
    with installation(folder / "there", redis_server, f"sqlite:///{database}") as installed:
        closed = start_flower(installed, **{"monitoring.flower_auth": LOGIN})
        opened = start_flower(installed)
        installed.start_worker("lab")
        yield Watched(installed, opened, replace(closed, login=LOGIN))


def test_each_pool_is_shown_soon_after_its_start_and_its_end(watched: Watched) -> None:
    """Though Flower was there first, and nobody asks it to look again."""

    def pools() -> set[str]:
        return {name.partition("-")[0] for name in watched.open.workers()}

    second = watched.installed.start_worker("bench")
    eventually(lambda: pools() == {"lab", "bench"}, timeout=SOON)
    shown = next(one for name, one in watched.open.workers().items() if name.startswith("lab"))
    assert "lab.echo" in shown["registered"]
    assert [queue["name"] for queue in shown["active_queues"]] == ["lab"]
    second.stop(SOON)
    eventually(lambda: pools() == {"lab"}, timeout=SOON)


def test_tasks_are_shown_by_their_names_in_their_states(watched: Watched) -> None:
    """What succeeded, failed, timed out or was cancelled shows as that, and no parameter does."""
    tasks = watched.installed.runtime.tasks
    held = watched.enqueue("lab.until_cancelled", gate=str(watched.installed.gate()))
    watched.await_state(held, "STARTED")
    failed = watched.enqueue("lab.fail")
    late = watched.enqueue("lab.slow", gate=str(watched.installed.gate()))
    done = watched.enqueue("lab.echo", value="hush")
    watched.await_state(done, "SUCCESS")
    watched.await_state(failed, "FAILURE")
    watched.await_state(late, "FAILURE")
    tasks.cancel(held)
    watched.await_state(held, "REVOKED")
    shown = watched.open.tasks()
    assert shown[done]["name"] == "lab.echo"
    assert [shown[done]["args"], shown[done]["kwargs"]] == ["", "kept in the ledger"]


def test_a_task_that_is_cancelled_in_the_queue_shows_as_revoked(watched: Watched) -> None:
    """Its message is still there, and starts nothing."""
    gates = [watched.installed.gate() for _ in range(2)]
    held = [watched.enqueue("lab.hold", gate=str(gate)) for gate in gates]
    for gate in gates:
        gate.await_arrival()
    waiting = watched.enqueue("lab.echo", value=1)
    watched.await_state(waiting, "PENDING")
    assert watched.installed.runtime.tasks.cancel(waiting)
    for gate in gates:
        gate.open()
    watched.await_state(waiting, "REVOKED")
    for task_id in held:
        watched.await_state(task_id, "SUCCESS")


def test_a_duplicate_changes_nothing_that_is_shown(watched: Watched) -> None:
    """Neither the state of a task that has ended, or that runs, nor the number of successes."""
    gate = watched.installed.gate()
    done = watched.enqueue("lab.echo", value=1)
    watched.await_state(done, "SUCCESS")
    running = watched.enqueue("lab.hold", gate=str(gate))
    gate.await_arrival()
    counts = counted(watched.open)
    for task_id, task_type in ((done, "lab.echo"), (running, "lab.hold")):
        watched.send(task_id, task_type)
    eventually(
        lambda: counted(watched.open)["task-received"] >= counts["task-received"] + 2, timeout=SOON
    )
    eventually(lambda: counted(watched.open).get("task-duplicate"), timeout=SOON)
    shown = watched.open.states()
    assert [shown[done], shown[running]] == ["SUCCESS", "STARTED"]
    assert counted(watched.open)["task-succeeded"] == counts["task-succeeded"]
    gate.open()
    watched.await_state(running, "SUCCESS")


def test_a_message_before_its_time_shows_a_task_that_waits(watched: Watched) -> None:
    """The ledger does not let it start, and will send it again."""
    due = SystemClock().now() + timedelta(hours=1)
    task = Task(task_type="lab.echo", parameters={"value": 1}, scheduled_at=due)
    task_id = watched.installed.runtime.tasks.enqueue(task)
    watched.send(task_id, "lab.echo")
    watched.await_state(task_id, "RETRY")


def test_a_step_says_which_it_is(watched: Watched) -> None:
    """By the messages of a canvas as by those of the ledger."""
    pipelines = watched.installed.runtime.pipelines.sync
    steps = [
        {"task_id": "one", "processor": "lab.echo", "configuration": {"value": 1}},
        {"task_id": "two", "processor": "lab.echo", "configuration": {"value": 2}},
        {"task_id": "three", "processor": "lab.echo", "configuration": {"value": 3}},
    ]
    after = {"three": ["one", "two"]}
    pipelines.register_pipeline(
        PipelineDefinition.model_validate(
            {"pipeline_id": "shown", "tasks": steps, "dependencies": after}
        )
    )
    run_id = pipelines.trigger_pipeline("shown", {})
    pipelines.wait(run_id, timeout=SOON)

    def shown() -> set[str]:
        return {
            task["kwargs"] for task in watched.open.tasks().values() if run_id in task["kwargs"]
        }

    wanted = {f"step {name} of run {run_id}" for name in ("one", "two", "three")}
    eventually(lambda: shown() == wanted, timeout=SOON)


def test_the_length_of_each_queue_is_shown(watched: Watched) -> None:
    """Of all priorities together, under the installation's prefix."""
    gates = [watched.installed.gate() for _ in range(2)]
    held = [watched.enqueue("lab.hold", gate=str(gate)) for gate in gates]
    for gate in gates:
        gate.await_arrival()
    tasks = watched.installed.runtime.tasks
    waiting = [
        tasks.enqueue(Task(task_type="lab.echo", parameters={"value": 1}, priority=priority))
        for priority in (0, 5, 9)
    ]

    def lengths() -> list[dict[str, object]]:
        return list(watched.open.ask("/api/queues/length").json["active_queues"])

    # A worker may have one of them in its hands for a moment: it gives it back.
    eventually(lambda: {"name": "lab", "messages": 3} in lengths(), timeout=SOON)
    for gate in gates:
        gate.open()
    for task_id in (*held, *waiting):
        watched.await_state(task_id, "SUCCESS")


@pytest.mark.parametrize("path", ["/", "/tasks", "/broker", "/api/workers", "/api/tasks"])
def test_pages_open_to_who_may_see_them(watched: Watched, path: str) -> None:
    """Everybody on this machine, or whoever has a login where one is asked for."""
    assert watched.open.ask(path).status == 200
    assert watched.closed.ask(path).status == 200
    for login in ("", "ops:wrong", "ops"):
        assert replace(watched.closed, login=login).ask(path).status == 401


def test_an_open_flower_tells_so_and_changes_nothing(watched: Watched) -> None:
    """It is for looking."""
    assert "Flower asks for no password" in watched.open.child.log_path.read_text()
    answer = watched.open.ask("/api/task/send-task/lab.echo", {"kwargs": {"value": 1}})
    assert [answer.status, answer.text] == [403, "Read only mode is enabled"]
    assert "Flower asks for no password" not in watched.closed.child.log_path.read_text()


@pytest.mark.parametrize(
    "header", [{"Origin": "https://evil.example.com"}, {"Host": "evil.example.com"}], ids=str
)
@pytest.mark.parametrize("path", ["/", "/api/tasks", "/metrics"])
def test_an_open_flower_answers_no_other_site(
    watched: Watched, path: str, header: dict[str, str]
) -> None:
    """What a browser on this machine asks for in the name of another page."""
    assert watched.open.ask(path, **header).status == 403


def test_a_task_can_be_enqueued_through_flower(watched: Watched) -> None:
    """It is in the ledger, as any other, and its result comes back."""
    for how in ("apply", "async-apply", "send-task"):
        answer = watched.closed.ask(f"/api/task/{how}/lab.echo", {"kwargs": {"value": how}})
        assert answer.status == 200, answer.text
        result = watched.installed.runtime.tasks.result(answer.json["task-id"], timeout=SOON)
        assert result.data == how
        assert answer.json.get("result", how) == how


def test_another_site_can_not_use_a_browser_s_login(watched: Watched) -> None:
    """CVE-2022-51020."""
    body = {"kwargs": {"value": 1}}
    path = "/api/task/send-task/lab.echo"
    assert watched.closed.ask(path, body, Origin="https://evil.example.com").status == 403
    assert watched.closed.ask(path, body, **{"Sec-Fetch-Site": "cross-site"}).status == 403


def test_what_flower_revokes_is_cancelled(watched: Watched) -> None:
    """In the queue, and where it runs."""
    gates = [watched.installed.gate() for _ in range(2)]
    held = [watched.enqueue("lab.hold", gate=str(gate)) for gate in gates]
    for gate in gates:
        gate.await_arrival()
    waiting = watched.enqueue("lab.echo", value=1)
    watched.closed.ask(f"/api/task/revoke/{waiting}", {})
    watched.closed.ask(f"/api/task/revoke/{held[0]}?terminate=true", {})
    gates[1].open()
    results = watched.installed.runtime.tasks
    for task_id in (waiting, held[0]):
        assert results.result(task_id, timeout=SOON).state == "cancelled"
        watched.await_state(task_id, "REVOKED")
    watched.await_state(held[1], "SUCCESS")


def counted(flower: Flower) -> dict[str, int]:
    """Return how many events of each type the workers have sent."""
    found: dict[str, int] = {}
    for worker in flower.ask("/?json=1").json["data"]:
        for name, count in worker.items():
            if name.startswith("task-"):
                found[name] = found.get(name, 0) + count
    return found


def test_flower_outlives_its_broker_and_leaves_nothing_there(
    tmp_path: Path, sqlite_url: str
) -> None:
    """Killed and started again and again, it adds no key; and it is back when the broker is."""
    with EmbeddedValkey() as valkey:
        server = RedisServer(valkey.redis_url, valkey.broker_url)
        with installation(tmp_path / "there", server, sqlite_url) as installed:
            installed.start_worker("lab")
            sizes = []
            for _ in range(2):
                flower = start_flower(installed)
                eventually(lambda flower=flower: flower.workers(), timeout=SOON)
                os.kill(flower.child.pid, signal.SIGKILL)
                flower.child.reap()
                sizes.append(eventually(lambda: keys_of(valkey), timeout=SOON))
            assert sizes == sizes[:1] * 2
            flower = start_flower(installed)
            eventually(lambda: sees_a_task(installed, flower), timeout=SOON)
            valkey.restart()
            eventually(lambda: sees_a_task(installed, flower), timeout=SOON)
            eventually(lambda: list(flower.workers()), timeout=SOON)


def sees_a_task(installed: Installation, flower: Flower) -> bool:
    """Tell whether Flower hears of a task that runs now."""
    task_id = installed.run("lab.echo", value=1).task_id
    return eventually(lambda: flower.states().get(task_id) == "SUCCESS", timeout=5)


def keys_of(valkey: EmbeddedValkey) -> dict[str, int] | None:
    """Return the sizes of the keys that stay; None while messages are left there.

    Without kombu's table of those who await an answer: who is killed meanwhile is left in it.
    """
    with Redis.from_url(valkey.redis_url) as client:
        keys = [key.decode() for key in client.scan_iter()]
        if any(client.type(key) == b"list" for key in keys):
            return None
        return {
            key: client.scard(key)
            for key in keys
            if client.type(key) == b"set" and not key.endswith("binding.reply.celery.pidbox")
        }


@pytest.mark.parametrize("count", [1, pytest.param(2, marks=pytest.mark.thorough)])
def test_flower_works_on_rabbitmq(
    amqp_url: str, redis_server: RedisServer, tmp_path: Path, sqlite_url: str, count: int
) -> None:
    """Alone or two at once, and after a kill: the queue of its events ends with it."""
    on_amqp = {"broker.url": amqp_url}
    with (
        queues_removed(amqp_url),
        installation(tmp_path / "there", redis_server, sqlite_url, **on_amqp) as installed,
    ):
        installed.start_worker("lab")
        flowers = [start_flower(installed) for _ in range(count)]
        for flower in flowers:
            eventually(lambda flower=flower: lab_of(flower), timeout=SOON)
        os.kill(flowers[0].child.pid, signal.SIGKILL)
        flowers[0].child.reap()
        flowers[0] = start_flower(installed)
        eventually(lambda: lab_of(flowers[0]), timeout=SOON)
        result = installed.run("lab.echo", value=1)
        for flower in flowers:
            eventually(
                lambda flower=flower: flower.states().get(result.task_id) == "SUCCESS", timeout=SOON
            )
            assert flower.ask("/broker").status == 200


def lab_of(flower: Flower) -> list[str]:
    """Return the workers of the pool that Flower shows."""
    return [name for name in flower.workers() if name.startswith("lab-")]


def test_no_page_shows_the_password_of_the_broker(tmp_path: Path, sqlite_url: str) -> None:
    """Not even where the address of the broker is a socket's, which Celery shows whole."""
    with EmbeddedValkey() as valkey:
        with Redis.from_url(valkey.redis_url) as client:
            client.config_set("requirepass", PASSWORD)
        url = valkey.broker_url.replace("://", f"://:{PASSWORD}@")
        server = RedisServer(valkey.redis_url.replace("://", f"://:{PASSWORD}@"), url)
        with installation(tmp_path / "there", server, sqlite_url) as installed:
            installed.start_worker("lab")
            flower = start_flower(installed)
            name = eventually(lambda: next(iter(flower.workers()), None), timeout=SOON)
            pages = ["/", "/broker", "/api/workers", f"/worker/{name}", "/metrics", "/tasks"]
            answers = [flower.ask(page) for page in pages]
            assert [answer.status for answer in answers] == [200] * len(pages)
            assert [
                page for page, answer in zip(pages, answers, strict=True) if PASSWORD in answer.text
            ] == []
            assert "******" in flower.ask("/api/workers").text
            assert PASSWORD not in flower.child.log_path.read_text()


@pytest.fixture
def at_work(redis_server: RedisServer) -> Iterator[Shell]:
    """Have a shell where a broker is configured."""
    with shell(DATAMCP_BROKER__URL=redis_server.broker_url) as opened:
        yield opened


def test_flower_refuses_to_be_open_to_others(at_work: Shell) -> None:
    """One line says what to set, wherever the address comes from, and whatever the command."""
    by_option = at_work.run("celery", "-A", "datamcp", "flower", "--address=0.0.0.0")
    assert by_option.code == 2
    assert by_option.error.startswith("Error: monitoring.flower_address: is 0.0.0.0, which other")
    at_work.settings["DATAMCP_MONITORING__FLOWER_ADDRESS"] = "0.0.0.0"  # noqa: S104  refused
    by_setting = at_work.run("datamcp", "flower")
    assert [by_setting.code, by_setting.error] == [2, by_option.error]


def test_flower_refuses_to_be_open_in_production(at_work: Shell) -> None:
    """Whatever its address."""
    at_work.settings.update(
        DATAMCP_SYSTEM__ENVIRONMENT="staging",
        DATAMCP_BROKER__URL="redis://:pw@127.0.0.1:1/0",
        DATAMCP_STORAGE__DATABASE_URL="postgresql://me:pw@127.0.0.1:1/x",
        DATAMCP_SECURITY__MASTER_KEY="k",
        DATAMCP_SECURITY__ALLOW_UNSIGNED_TASKS="true",
    )
    ran = at_work.run("datamcp", "flower")
    assert ran.code == 2
    warning, error = ran.stderr.splitlines()
    assert warning.startswith("warning: security.allow_unsigned_tasks")
    assert error.startswith("Error: monitoring.flower_auth: is not set, and in staging Flower")


def test_flower_says_when_there_is_no_broker(at_work: Shell) -> None:
    """As any other process does."""
    at_work.settings["DATAMCP_BROKER__URL"] = "redis://127.0.0.1:1/0"
    ran = at_work.run("datamcp", "flower")
    assert ran.code == 3
    assert ran.error.startswith("Error: broker redis://")
    assert "is unreachable" in ran.error
