"""The task engine on RabbitMQ, where one answers; its delivery rules come with their own suite."""

import sys
from pathlib import Path
from uuid import uuid4

import pytest
from kombu import Connection

import datamcp
from datamcp import Task
from datamcp.config.text import child_environment
from datamcp.infra.processes import Supervisor

AGENT = """
from datamcp import BaseAgent, capability


class Bench(BaseAgent):
    @capability
    def add(self, a: int, b: int = 0) -> int:
        return a + b
"""


def test_a_task_makes_its_way_over_rabbitmq(
    amqp_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Enqueue, priority, claim, finish and result do not depend on Redis."""
    agent_type = f"bench_{uuid4().hex[:8]}"
    (tmp_path / "bench_agent.py").write_text(AGENT)
    monkeypatch.syspath_prepend(str(tmp_path))
    settings = {
        "broker.url": amqp_url,
        f"agents.{agent_type}.module": "bench_agent:Bench",
        "system.state_dir": str(tmp_path / "state"),
    }
    command = [sys.executable, "-m", "celery", "-A", "datamcp", "worker", "--agent", agent_type]
    try:
        with Supervisor() as supervisor, datamcp.connect(overrides=settings) as runtime:
            task = Task(task_type=f"{agent_type}.add", parameters={"a": 1, "b": 2}, priority=9)
            task_id = runtime.tasks.enqueue(task)
            assert runtime.depths.ready(agent_type) == 1
            supervisor.start(
                "worker",
                command,
                log_path=tmp_path / "worker.log",
                env=child_environment(settings),
                cwd=tmp_path,
            )
            assert runtime.tasks.result(task_id, timeout=30).data == 3
            assert runtime.depths.ready(agent_type) == 0
    finally:
        with Connection(amqp_url) as connection:
            connection.default_channel.queue_delete(agent_type)
