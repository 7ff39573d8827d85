"""What a lost connection to RabbitMQ does to what runs: nothing."""

import shutil
import subprocess
from collections.abc import Callable

import pytest
from kombu.utils.url import url_to_parts
from support.environment import TestServers
from support.eventually import eventually
from support.workers import SOON, Installation, has_run_for, on_database, worker

from chaos.rabbitmq import OwnRabbitMQ
from datamcp import Task
from datamcp.tasks.intake import HOLD
from datamcp.tasks.states import State


@pytest.fixture
def cut(request: pytest.FixtureRequest, servers: TestServers, amqp_url: str) -> Callable[[], None]:
    """Return what closes all connections to a virtual host; skip where that is not allowed."""
    if servers.amqp_url is None:
        own: OwnRabbitMQ = request.getfixturevalue("own_rabbitmq")
        return own.close_connections
    tool = shutil.which("rabbitmqctl")
    if tool is None:
        pytest.skip("rabbitmqctl is not there")
    vhost = url_to_parts(amqp_url)[5] or "/"
    command = [tool, "close_all_connections", "-p", vhost, "test"]

    def close() -> None:
        closed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if closed.returncode:
            pytest.skip(f"rabbitmqctl refuses: {closed.stderr.strip()[:100]}")

    return close


@pytest.mark.parametrize("pause", [0.0, pytest.param(HOLD + 2, marks=pytest.mark.thorough)])
def test_what_runs_goes_on(
    pause: float,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    cut: Callable[[], None],
) -> None:
    """Once, in its slot, whether or not its message was let go; and others run elsewhere."""
    with on_database("rabbitmq", request, tmp_path_factory.mktemp("lost")) as installed:
        installed.start(*[("single", worker("single"))] * 2)
        tasks, gate = installed.runtime.tasks, installed.gate()
        busy = tasks.enqueue(Task(task_type="single.hold", parameters={"gate": str(gate)}))
        gate.await_arrival()
        before = installed.runtime.ledger.get(busy)
        assert before is not None
        eventually(lambda: has_run_for(installed, busy, pause, by="single.echo"), timeout=SOON)
        for _ in range(2):
            cut()
            for _ in range(3):
                assert _echo(installed) != before.agent_id
        after = installed.runtime.ledger.get(busy)
        assert after is not None
        assert (after.state, after.fence, after.attempt) == (State.RUNNING, before.fence, 1)
        gate.open()
        assert tasks.result(busy, timeout=SOON).success


def _echo(installed: Installation) -> str | None:
    """Run a short task; return who ran it."""
    task = Task(task_type="single.echo", parameters={"value": 1})
    result = installed.runtime.tasks.result(installed.runtime.tasks.enqueue(task), timeout=SOON)
    assert result.success
    return result.agent_id
