import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing

import psutil
import pytest
from support.brokers import RedisServer
from support.shell import PROGRAMS, START, Shell, shell

AGENT = """
import datamcp
from datamcp import BaseAgent, Task, capability

class Bench(BaseAgent):                      # in any importable module
    agent_type = "bench"
    @capability
    def add(self, a: int, b: int = 0) -> int:
        self.context.heartbeat(progress=0.5)
        return a + b

    @capability
    def fail(self) -> int:
        print("printed by an agent")
        raise ValueError("told to [fail]")
"""

PROGRAM = """
import datamcp
from datamcp import Task

with datamcp.connect() as rt:                # same configuration as the CLI
    task_id = rt.tasks.enqueue(Task(task_type="bench.add", parameters={"a": 1}, priority=7))
    print(rt.tasks.result(task_id, timeout=30).data)
    result = rt.agents.sync.distribute_task(Task(task_type="bench.add", parameters={"a": 1}))
    print(result.data)
"""

CONFIG = """
agents: {bench: {module: "mypkg.bench:Bench", concurrency: 2, pool: prefork}}
"""

CELERY = (str(PROGRAMS / "celery"), "-A", "datamcp")
DATAMCP = (str(PROGRAMS / "datamcp"),)
BOTH = pytest.mark.parametrize("program", [DATAMCP, CELERY], ids=["datamcp", "celery"])
OURS_OR_BOTH = pytest.mark.parametrize(
    "program",
    [DATAMCP, pytest.param(CELERY, marks=pytest.mark.thorough)],
    ids=["datamcp", "celery"],
)
"""Commands that are one and the same in either program, as `BOTH` shows."""


@pytest.fixture(scope="module")
def user(redis_server: RedisServer) -> Iterator[Shell]:
    """Have a shell in a stranger's project: a package with an agent, and a file of settings."""
    prefix = "test-stranger:"
    settings = {
        "DATAMCP_CONFIG": "mine.yaml",
        "DATAMCP_BROKER__URL": redis_server.broker_url,
        "DATAMCP_BROKER__KEY_PREFIX": prefix,
    }
    with shell(**settings) as opened:
        (opened.folder / "mypkg").mkdir()
        (opened.folder / "mypkg" / "__init__.py").touch()
        (opened.folder / "mypkg" / "bench.py").write_text(AGENT)
        (opened.folder / "mine.yaml").write_text(CONFIG)
        (opened.folder / "program.py").write_text(PROGRAM)
        yield opened
    redis_server.remove_keys(prefix)


@pytest.fixture(scope="module")
def worker(user: Shell) -> Iterator["subprocess.Popen[bytes]"]:
    """Have a worker of the agent, as the README starts it."""
    with user.running(*CELERY, "worker", "--agent", "bench", sign=" ready.") as process:
        yield process


@pytest.mark.usefixtures("worker")
def test_the_first_program_works(user: Shell) -> None:
    """A task is enqueued and awaited, with the configuration that the command line has."""
    ran = user.run("python", "program.py")
    assert (ran.code, ran.stdout, ran.stderr) == (0, "1\n1\n", "")


@pytest.mark.usefixtures("worker")
@BOTH
def test_a_task_is_enqueued_awaited_and_looked_at(user: Shell, program: tuple[str, ...]) -> None:
    """The script and Celery's own command know the same commands; stdout is a model each time."""
    ran = user.run(*program, "task", "enqueue", "bench.add", "-p", "a=2", "--wait", "--json")
    assert (ran.code, ran.stderr) == (0, "")
    assert ran.json["data"] == 2
    task_id = ran.json["task_id"]
    assert user.run(*program, "task", "status", task_id, "--json").json["state"] == "succeeded"
    states = [
        event["state"] for event in user.run(*program, "task", "history", task_id, "--json").json
    ]
    assert states == ["queued", "running", "succeeded"]


@pytest.mark.usefixtures("worker")
@OURS_OR_BOTH
def test_a_task_that_fails_ends_with_1_and_a_line(user: Shell, program: tuple[str, ...]) -> None:
    """The result is printed all the same, and nothing of what the agent printed."""
    ran = user.run(*program, "task", "enqueue", "bench.fail", "--wait", "--json")
    assert ran.code == 1
    assert (ran.json["state"], ran.json["error_code"]) == ("failed", "ValueError")
    assert ran.error == f"Error: task {ran.json['task_id']} failed (ValueError): told to [fail]"


@pytest.mark.usefixtures("worker")
@OURS_OR_BOTH
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "a: is required"),
        (["-p", "a=x"], "a: input should be a valid integer, got 'x'"),
        (["-p", "a=1", "-p", "c=1"], "c: is not a parameter"),
    ],
)
def test_wrong_parameters_are_one_line_and_nothing_is_enqueued(
    user: Shell, program: tuple[str, ...], words: list[str], said: str
) -> None:
    """The caller hears of it, with exit code 2."""
    before = tasks_of(user)
    ran = user.run(*program, "task", "enqueue", "bench.add", *words)
    assert (ran.code, ran.stdout) == (2, "")
    assert ran.error == f"Error: invalid parameters for bench.add: {said}"
    assert tasks_of(user) == before


def tasks_of(user: Shell) -> int:
    """Return how many tasks the user's ledger has."""
    with closing(sqlite3.connect(user.folder / ".datamcp" / "ledger.db")) as ledger:
        return int(ledger.execute("SELECT count(*) FROM tasks").fetchone()[0])


@pytest.mark.parametrize(
    ("how", "code"),
    [pytest.param(signal.SIGTERM, 0, marks=pytest.mark.thorough), (signal.SIGINT, 130)],
)
def test_our_command_starts_the_same_worker_with_settings_of_its_own(
    user: Shell, how: signal.Signals, code: int
) -> None:
    """Settings of the command line hold in the worker. It ends when it is told, within seconds."""
    words = ("--set", "agents.bench.concurrency=1", "worker", "bench")
    with user.running(*DATAMCP, *words, sign=" ready.") as process:
        assert len(psutil.Process(process.pid).children()) == 1
        process.send_signal(how)
        assert process.wait(START) == code
