"""pytest-celery on processes of this machine: its own suite's words, and no Docker engine."""

import re
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from support.suite import Ran, Suite

Runs = Mapping[str, "Future[Ran]"]

_NO_ENGINE = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Have both suites run, at once."""
    folder = tmp_path_factory.mktemp("suites")
    with ThreadPoolExecutor(2) as users:
        yield {
            "celery": users.submit(run_celery, folder / "celery"),
            "datamcp": users.submit(run_datamcp, folder / "datamcp"),
        }


def run_celery(folder: Path) -> Ran:
    """Run a project that tests its plain Celery tasks."""
    suite = Suite(folder)
    suite.write("conftest.py", 'pytest_plugins = ["datamcp.testing.pytest_celery"]\n')
    suite.write(
        "jobs.py",
        """
        from celery import shared_task

        @shared_task
        def multiply(a, b):
            return a * b

        @shared_task
        def total(values):
            return sum(values)
        """,
    )
    suite.write(
        "test_jobs.py",
        """
        import jobs
        import pytest
        from celery import chord
        from pytest_celery import CeleryTestSetup, CeleryTestWorker, ping

        @pytest.fixture
        def default_worker_tasks(default_worker_tasks):
            return default_worker_tasks | {jobs}

        def test_life(celery_setup: CeleryTestSetup):
            assert celery_setup.ready(ping=True, control=True)
            worker: CeleryTestWorker = celery_setup.worker
            header = [jobs.multiply.s(number, number) for number in range(5)]
            assert chord(header, jobs.total.s()).delay().get(timeout=30) == 30
            worker.assert_log_exists("jobs.total")
            worker.assert_log_does_not_exist("no such line")
            assert {node: answer for node, answer in celery_setup.app.control.ping()[0].items()} == {
                worker.hostname(): {"ok": "pong"}
            }
            processes = worker.get_running_processes_info(["pid", "ppid"])
            assert {one["ppid"] for one in processes[1:]} == {processes[0]["pid"]}

            worker.kill()
            assert worker.container.status == "exited"
            waiting = jobs.multiply.delay(2, 3)
            worker.restart()
            assert waiting.get(timeout=30) == 6
            assert worker.get_running_processes_info(["pid"])[0]["pid"] != processes[0]["pid"]
            celery_setup.broker.kill()
            celery_setup.broker.restart()
            assert celery_setup.ready(ping=True)

        def test_nodes(celery_worker_cluster, celery_broker, celery_backend):
            assert len(celery_worker_cluster) == 1
            assert celery_broker.container.client.ping()
            assert celery_broker.config()["url"] != celery_backend.config()["url"]
            assert celery_broker.config(vhost=3)["host_url"].endswith("?virtual_host=3")
            code, output = celery_worker_cluster[0].container.exec_run("ls")
            assert (code, b"app.py" in output) == (0, True)
        """,
    )
    suite.write(
        "test_dying.py",
        """
        import pytest

        @pytest.fixture
        def default_worker_command(default_worker_command):
            return [*default_worker_command, "--no-such-option"]

        def test_dying(celery_setup):
            pass
        """,
    )
    suite.write(
        "test_failing.py",
        """
        def test_failing(celery_setup):
            assert celery_setup.ready()
            assert not "shown"
        """,
    )
    return suite.run(**_NO_ENGINE)


def run_datamcp(folder: Path) -> Ran:
    """Run a project whose workers are datamcp's."""
    suite = Suite(folder)
    suite.write(
        "conftest.py",
        """
        import pytest
        from shop import Shop

        from datamcp.testing import Broker
        from datamcp.testing.nodes import DatamcpWorkerContainer

        pytest_plugins = ["datamcp.testing.fixtures", "datamcp.testing.pytest_celery"]

        class ShopWorker(DatamcpWorkerContainer):
            @classmethod
            def worker_queue(cls):
                return "shop"

        @pytest.fixture
        def datamcp_agents():
            return [Shop]

        @pytest.fixture
        def datamcp_broker(celery_broker):
            return Broker(celery_broker.config()["host_url"], "datamcp:")

        @pytest.fixture
        def default_worker_container_cls():
            return ShopWorker

        @pytest.fixture
        def default_worker_env(default_worker_env, datamcp_runtime):
            return default_worker_env

        @pytest.fixture
        def celery_setup_app(datamcp_runtime):
            return datamcp_runtime.app
        """,
    )
    suite.write(
        "test_shop.py",
        """
        from celery import chord
        from shop import Shop

        def test_life(celery_setup, datamcp_runtime):
            assert celery_setup.ready()
            header = [Shop.price.s(number) for number in range(5)]
            result = chord(header, Shop.total.s()).delay()
            assert result.get(timeout=30) == 30
            assert datamcp_runtime.tasks.result(result.id).data == 30

            celery_setup.worker.kill()
            waiting = Shop.price.delay(3)
            celery_setup.worker.restart()
            assert waiting.get(timeout=30) == 9
            celery_setup.worker.wait_for_log("shop.price")
        """,
    )
    # Without the plug-in that pytest-celery installs itself: ours brings all that it needs.
    return suite.run("-p", "no:celery", **_NO_ENGINE)


def test_plain_celery(runs: Runs) -> None:
    """A chord, a worker that is killed and comes back, a broker that is restarted."""
    ran = runs["celery"].result()
    states = {name: outcome.state for name, outcome in ran.of("test_jobs").items()}
    assert set(states.values()) == {"passed"}, ran.output
    assert set(states) == {"test_life[celery_setup_worker]", "test_nodes[celery_setup_worker]"}


def test_datamcp(runs: Runs) -> None:
    """The same with capabilities: a chord, and a worker that is killed and comes back."""
    ran = runs["datamcp"].result()
    states = {name: outcome.state for name, outcome in ran.of("test_shop").items()}
    assert states == {"test_life[celery_setup_worker]": "passed"}, ran.output


def test_a_worker_that_does_not_start_shows_its_log(runs: Runs) -> None:
    """Instead of being waited for."""
    ran = runs["celery"].result()
    dying = ran.of("test_dying")["test_dying[celery_setup_worker]"]
    assert dying.state == "error"
    assert re.search(r"worker-\w+ has already exited", dying.message), dying.message
    assert "No such option" in ran.output


def test_a_test_that_fails_shows_the_worker_s_log(runs: Runs) -> None:
    """As with containers."""
    ran = runs["celery"].result()
    assert ran.of("test_failing")["test_failing[celery_setup_worker]"].state == "failed"
    shown = ran.output.partition("default_worker_container: worker-")[2]
    assert " ready." in shown
