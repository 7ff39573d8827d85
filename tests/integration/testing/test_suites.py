"""The plug-in as its users meet it: projects with test suites of their own, each run once."""

import re
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import create_engine, text
from support.brokers import RedisServer
from support.databases import TestDatabases
from support.suite import Ran, Suite

from datamcp.infra.database import parse

Runs = Mapping[str, "Future[Ran]"]


@pytest.fixture(scope="module")
def runs(
    tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer, databases: TestDatabases
) -> Iterator[Runs]:
    """Have the suites run, two at once: most of it is starting and waiting."""
    folder = tmp_path_factory.mktemp("suites")
    with ThreadPoolExecutor(2) as users:
        yield {
            "workers": users.submit(run_with_workers, folder / "workers", redis_server),
            "plain": users.submit(run_plain, folder / "plain"),
            "postgresql": users.submit(run_on_postgresql, folder / "postgresql", databases),
        }


def passed(ran: Ran, module: str) -> list[str]:
    """Return the tests of a module, all of which passed."""
    found = {name: outcome.state for name, outcome in ran.of(module).items()}
    assert set(found.values()) == {"passed"}, ran.output
    return list(found)


def run_plain(folder: Path) -> Ran:
    """Run a project's tests that need no server."""
    suite = Suite(folder)
    suite.write(
        "test_shop.py",
        """
        import asyncio
        from datetime import timedelta

        from shop import Shop

        from datamcp import Task
        from datamcp.testing import FakeClock, assert_enqueued, drain, refute_enqueued, run_capability


        def test_unit():
            assert run_capability(Shop, "price", count=2).data == 6

        def test_drain(datamcp_runtime):
            datamcp_runtime.tasks.enqueue(Task(task_type="shop.price", parameters={"count": 2}))
            assert [result.data for result in drain(datamcp_runtime)] == [6]

        def test_coroutine(datamcp_runtime):
            Shop.label.delay("tea")
            assert drain(datamcp_runtime)[0].data == "TEA"

        def test_nothing_is_left_of_another_test(datamcp_runtime):
            refute_enqueued(datamcp_runtime, "shop.price")
            assert datamcp_runtime.tasks.list() == []

        def test_clock(datamcp_runtime, datamcp_clock):
            due = datamcp_clock.now() + timedelta(days=1)
            task = Task(task_type="shop.price", parameters={"count": 1}, scheduled_at=due)
            datamcp_runtime.tasks.enqueue(task)
            assert drain(datamcp_runtime) == []
            assert_enqueued(datamcp_runtime, "shop.price", scheduled_at=due)
            datamcp_clock.advance(days=1)
            assert [result.data for result in drain(datamcp_runtime)] == [3]

        def test_plain_celery(datamcp_runtime):
            assert Shop.price.delay(3).get() == 9

        def test_wait(datamcp_runtime):
            task = Task(task_type="shop.price", parameters={"count": 2})
            assert datamcp_runtime.agents.sync.distribute_task(task).data == 6
            assert asyncio.run(datamcp_runtime.agents.distribute_task(task)).data == 6
        """,
    )
    suite.write(
        "test_chosen.py",
        """
        from datetime import UTC, datetime

        import pytest

        from datamcp.testing import FakeClock

        NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)

        @pytest.fixture
        def datamcp_settings():
            return {"agents.shop.timeout": "7", "scheduler.max_workers": "3"}

        @pytest.fixture
        def datamcp_clock():
            return FakeClock(NOON)

        def test_settings(datamcp_runtime):
            assert datamcp_runtime.config.agents["shop"].timeout == 7
            assert datamcp_runtime.clock.now() == NOON
            assert datamcp_runtime.config.system.environment == "testing"
        """,
    )
    suite.write(
        "datamcp.yaml",
        """
        agents:
          other:
            module: shop:Shop
        broker:
          url: redis://nowhere.invalid:6379/0
        storage:
          database_url: postgresql://nobody@nowhere.invalid/production
        """,
    )
    suite.write(
        "test_configured.py",
        """
        import datamcp

        def test_configuration_is_read_and_its_servers_are_not_touched(datamcp_runtime):
            assert set(datamcp_runtime.config.agents) >= {"other", "shop"}
            assert datamcp_runtime.database.dialect == "sqlite"
            assert datamcp_runtime.config.broker.url is None

        def test_what_the_code_connects_by_itself_finds_the_same_ledger(datamcp_runtime):
            with datamcp.connect() as other:
                assert other.database.url == datamcp_runtime.database.url
        """,
    )
    suite.write(
        "test_failing.py",
        """
        import pytest
        from shop import Shop

        from datamcp import Task
        from datamcp.testing import assert_enqueued, drain

        def test_raising(datamcp_runtime):
            datamcp_runtime.tasks.enqueue(Task(task_type="shop.sell_out"))
            drain(datamcp_runtime, raising=True)

        def test_missing(datamcp_runtime):
            datamcp_runtime.tasks.enqueue(Task(task_type="shop.price", parameters={"count": 2}))
            assert_enqueued(datamcp_runtime, "shop.price", parameters={"count": 3})

        def test_waiting(datamcp_runtime):
            Shop.price.apply_async((1,), countdown=60).get()

        @pytest.mark.usefixtures("datamcp_worker")
        def test_two_times(datamcp_clock):
            pass

        def test_no_module(make_runtime):
            pass

        @pytest.fixture
        def datamcp_agents(request):
            if request.node.name != "test_no_module":
                return [Shop]
            class Local(Shop):
                agent_type = "local"
            return [Local]

        @pytest.fixture
        def make_runtime(datamcp_runtime):
            return datamcp_runtime
        """,
    )
    return suite.run("--tb=short", DATAMCP_CONFIG="datamcp.yaml")


def test_three_lines_are_a_test(runs: Runs) -> None:
    """Without a server, without a folder of settings, with warnings as errors."""
    assert len(passed(runs["plain"].result(), "test_shop")) == 7


def test_a_project_chooses(runs: Runs) -> None:
    """Its agents, its settings, its clock: for all tests, or for one file."""
    assert len(passed(runs["plain"].result(), "test_chosen")) == 1


def test_a_project_s_configuration_is_read(runs: Runs) -> None:
    """And none of the servers that it names is touched, whoever connects."""
    assert len(passed(runs["plain"].result(), "test_configured")) == 2


class TestFailures:
    @pytest.fixture
    def ran(self, runs: Runs) -> Ran:
        """Return the run."""
        return runs["plain"].result()

    def test_a_capability_s_error_is_shown_where_it_was_raised(self, ran: Ran) -> None:
        """Below the test's own line, without a line of ours."""
        raising = ran.of("test_failing")["test_raising"]
        assert raising.state == "failed"
        assert frames(raising.text) == ["test_failing.py:9", "shop.py:36"]
        assert "LookupError: nothing left" in raising.text

    def test_an_assertion_shows_what_there_was(self, ran: Ran) -> None:
        """Below the test's own line, as well."""
        missing = ran.of("test_failing")["test_missing"]
        assert (missing.state, frames(missing.text)) == ("failed", ["test_failing.py:13"])
        assert missing.message.splitlines() == [
            'AssertionError: no task shop.price with {"count":3} is enqueued; there is:',
            '  shop.price {"count":2}: queued, priority 5',
        ]

    def test_waiting_for_ever_is_told(self, ran: Ran) -> None:
        """With what to do."""
        waiting = ran.of("test_failing")["test_waiting"]
        assert waiting.state == "failed"
        assert "move the clock there first, or do not wait for it" in waiting.message

    def test_two_kinds_of_time_are_refused(self, ran: Ran) -> None:
        """A worker can't be told what time it is."""
        two = ran.of("test_failing")["test_two_times"]
        assert two.state == "error"
        assert "workers live in real time: a test can't have datamcp_clock, too" in two.message

    def test_an_agent_without_a_name_is_refused(self, ran: Ran) -> None:
        """It could not be imported by a worker."""
        local = ran.of("test_failing")["test_no_module"]
        assert local.state == "error"
        assert "can't be imported: define it in a module's body" in local.message


def frames(text: str) -> list[str]:
    """Return the lines of a short traceback that pytest shows."""
    return re.findall(r"^(\S+:\d+): in ", text, flags=re.MULTILINE)


def run_on_postgresql(folder: Path, databases: TestDatabases) -> Ran:
    """Run a project's tests on a server of its own, and some on an embedded one."""
    suite = Suite(folder)
    suite.write(
        "test_named.py",
        """
        from shop import Shop

        from datamcp.testing import drain

        def test_one(datamcp_runtime):
            assert datamcp_runtime.database.dialect == "postgresql"
            Shop.price.delay(2)
            assert [result.data for result in drain(datamcp_runtime)] == [6]

        def test_two(datamcp_runtime):
            assert datamcp_runtime.tasks.list() == []
            print("NAME", datamcp_runtime.database.url.database)
        """,
    )
    suite.write(
        "test_embedded.py",
        """
        import pytest

        @pytest.mark.parametrize("datamcp_database", ["sqlite", "postgresql"])
        def test_kind(datamcp_runtime, datamcp_database):
            assert datamcp_runtime.database.dialect == datamcp_database
        """,
    )
    return suite.run("-s", "--datamcp-database", databases.admin_url)


def test_a_server_s_url_may_be_given(runs: Runs, databases: TestDatabases) -> None:
    """Each test has a database of its own there, and none is left."""
    ran = runs["postgresql"].result()
    assert len(passed(ran, "test_named")) == 2
    (name,) = re.findall(r"NAME (\w+)", ran.output)
    assert name.startswith("datamcp_test_")
    assert name not in names_of(databases)


def names_of(databases: TestDatabases) -> set[str]:
    """Return the names of all databases of a server."""
    engine = create_engine(parse(databases.admin_url))
    with engine.connect() as connection:
        names = set(connection.execute(text("SELECT datname FROM pg_database")).scalars())
    engine.dispose()
    return names


def test_one_test_may_have_another_database(runs: Runs) -> None:
    """By its parameters; an embedded server is started when one asks for it."""
    assert len(passed(runs["postgresql"].result(), "test_embedded")) == 2


_WITH_WORKERS = """
import os
import time

import pytest
from shop import Shop

import datamcp
from datamcp import Task
from datamcp.testing import assert_enqueued


def test_worker(datamcp_runtime, datamcp_worker):
    worker = datamcp_worker("shop", concurrency=2)
    task_id = datamcp_runtime.tasks.enqueue(Task(task_type="shop.price", parameters={"count": 2}))
    result = datamcp_runtime.tasks.result(task_id, timeout=30)
    assert (result.data, result.agent_id) == (6, f"shop-{worker.pid}@{os.uname().nodename}")
    assert Shop.label.delay("tea").get(timeout=30) == "TEA"
    print("PREFIX", datamcp_runtime.config.broker.key_prefix)

    before = worker.pid
    assert worker.kill().signal_name == "SIGKILL"
    waiting = Shop.price.delay(3)
    assert_enqueued(datamcp_runtime, "shop.price", count=1)
    worker.restart()
    assert waiting.get(timeout=30) == 9
    assert worker.pid != before
    worker.wait_for_log("ready")
    assert worker.log().count(" ready.") == 1
    datamcp_worker.beat()
    assert Shop.price.apply_async((4,), countdown=0.5).get(timeout=30) == 12
    assert worker.stop().code == 0


def test_failing(datamcp_runtime, datamcp_worker):
    datamcp_worker("shop", pool="solo")
    print("PID", datamcp_worker.started[0].pid)
    assert Shop.price.delay(3).get(timeout=30) == 10


def test_not_starting(datamcp_worker):
    datamcp_worker("shop", options=["--no-such-option"])
"""


_SAME = """
import pytest
from shop import Shop

import datamcp
from datamcp import PipelineDefinition, TaskDefinition
from datamcp.testing import drain

GRAPH = {f"l0.{place}": () for place in range(5)} | {
    f"l{layer}.{place}": tuple(f"l{layer - 1}.{other}" for other in range(5) if (place + other) % 3)
    for layer in range(1, 6)
    for place in range(5)
}
NAMES = list(GRAPH)

def definition():
    return PipelineDefinition(
        pipeline_id="graph",
        tasks=[TaskDefinition(task_id=name, processor="shop.step") for name in GRAPH],
        dependencies={name: ups for name, ups in GRAPH.items() if ups},
    )

def told(runtime, run_id):
    status = runtime.pipelines.sync.monitor_execution(run_id)
    steps = {name: (step.state, step.attempt, step.output) for name, step in status.tasks.items()}
    return status.state, status.progress, steps

def started(runtime):
    runtime.pipelines.sync.register_pipeline(definition())
    return runtime.pipelines.sync.trigger_pipeline("graph")

EXPECTED = ("succeeded", 1, {name: ("succeeded", 1, name) for name in NAMES})

def test_drained(datamcp_runtime):
    run_id = started(datamcp_runtime)
    assert len(drain(datamcp_runtime)) == len(GRAPH) == 30
    assert told(datamcp_runtime, run_id) == EXPECTED

def test_by_workers(datamcp_runtime, datamcp_worker):
    datamcp_worker("shop", concurrency=2)
    run_id = started(datamcp_runtime)
    datamcp_runtime.pipelines.sync.wait(run_id, timeout=60)
    assert told(datamcp_runtime, run_id) == EXPECTED
"""


def run_with_workers(folder: Path, redis_server: RedisServer) -> Ran:
    """Run a project's tests with real workers."""
    suite = Suite(folder)
    suite.write("test_workers.py", _WITH_WORKERS)
    suite.write("test_same.py", _SAME)
    return suite.run("-rP", "--datamcp-broker", redis_server.broker_url)


class TestWorkers:
    @pytest.fixture
    def ran(self, runs: Runs) -> Ran:
        """Return the run."""
        return runs["workers"].result()

    def test_are_ready_and_can_be_killed(self, ran: Ran) -> None:
        """A task that waited meanwhile is done by the next."""
        assert ran.of("test_workers")["test_worker"].state == "passed", ran.output

    def test_show_their_logs_when_a_test_fails(self, ran: Ran) -> None:
        """As a section of its report; and they end with the test."""
        assert ran.of("test_workers")["test_failing"].state == "failed"
        assert " ready." in ran.output.partition("Log of shop-1")[2]
        (pid,) = re.findall(r"^PID (\d+)$", ran.output, flags=re.MULTILINE)
        assert not Path(f"/proc/{pid}").exists()

    def test_that_do_not_start_say_why(self, ran: Ran) -> None:
        """With the end of their log."""
        started = ran.of("test_workers")["test_not_starting"].message
        assert re.match(r"AssertionError: shop-1 \(pid \d+\) exited 2; its log ends with:", started)
        assert "No such option" in started

    def test_make_of_a_graph_what_a_drain_makes_of_it(self, ran: Ran) -> None:
        """Thirty steps: the same states, attempts and outputs."""
        assert passed(ran, "test_same") == ["test_drained", "test_by_workers"]

    def test_leave_no_keys(self, ran: Ran, redis_server: RedisServer) -> None:
        """The run's corner of the broker is empty."""
        (prefix,) = re.findall(r"^PREFIX (\S+)$", ran.output, flags=re.MULTILINE)
        with Redis.from_url(redis_server.redis_url) as client:
            assert list(client.scan_iter(match=f"{prefix}*", count=1000)) == []
