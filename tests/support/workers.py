"""An installation of a stranger's: a package with agents, real workers, and a runtime.

The tests tell the agents what to do, and learn what they did, by files in the folder that they
share: a `Gate` is two of them.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile
from uuid import uuid4

import pytest
from celery import Celery

import datamcp
from datamcp import Task, TaskResult
from datamcp.bootstrap.runtime import Runtime
from datamcp.config.text import child_environment
from datamcp.infra.processes import Child, Supervisor
from support.brokers import RedisServer
from support.databases import TestDatabases
from support.eventually import eventually

START = 40.0  # seconds that a process may take to start on a busy machine
SOON = 30.0  # seconds in which anything happens that should

BENCH = """
import datamcp
from datamcp import BaseAgent, Task, capability

class Bench(BaseAgent):                      # in any importable module
    agent_type = "bench"
    @capability
    def add(self, a: int, b: int = 0) -> int:    # sync or async; parameters are validated from the annotations
        self.context.heartbeat(progress=0.5)
        return a + b
"""

LAB = '''
"""An agent that does as it is told."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from datamcp import BaseAgent, capability


def passed(gate: str) -> bool:
    """Tell whether a gate is open, after showing that somebody stands before it."""
    Path(gate + ".reached").touch()
    return Path(gate + ".open").exists()


class Lab(BaseAgent):
    """Does as it is told."""

    @capability
    def hold(self, gate: str, word: str = "") -> str:
        """Wait until the gate is opened."""
        while not passed(gate):
            time.sleep(0.01)
        return word

    @capability
    def until_cancelled(self, gate: str) -> bool:
        """Ask for a cancel until there is one."""
        Path(gate + ".reached").touch()
        while not self.context.cancelled:
            self.context.heartbeat()
            time.sleep(0.01)
        return True

    @capability
    def note(self, path: str, word: str) -> int:
        """Write a word into a file; return the process."""
        with Path(path).open("a") as notes:
            notes.write(word + "\\n")
        return os.getpid()

    @capability
    async def echo(self, value: object) -> object:
        """Return a value, a little later."""
        await asyncio.sleep(0)
        return value

    @capability
    async def whoami(self) -> list[object]:
        """Return the task as the coroutine sees it."""
        await asyncio.sleep(0)
        context = self.context
        return [context.task_id, context.attempt, context.task.parameters, self.agent_id]

    @capability
    def fail(self, message: str = "on request") -> None:
        """Fail."""
        raise ValueError(message)

    @capability
    def leave(self, how: str) -> None:
        """Fail in a way that is no exception of the usual kind."""
        errors = {
            "exit": SystemExit(3),
            "cancelled": asyncio.CancelledError("by itself"),
            "memory": MemoryError("too much"),
        }
        raise errors[how]

    @capability
    def strange(self) -> object:
        """Return what has no JSON form."""
        return object()

    @capability(timeout=0.5)
    def slow(self, gate: str) -> None:
        """Never end of itself."""
        self.hold(gate)

    @capability(timeout=0.5)
    async def slow_async(self, path: str) -> None:
        """Write a word after its time is up."""
        await asyncio.sleep(0.7)
        Path(path).write_text("went on")

    @capability(timeout=0.3)
    def stubborn(self, gate: str) -> None:
        """Never end, not even when told."""
        while True:
            try:
                self.hold(gate)
            except BaseException:
                pass

    @capability
    def die(self, path: str, times: int) -> str:
        """Kill this process, so many times."""
        with Path(path).open("a") as notes:
            notes.write("died\\n")
        if len(Path(path).read_text().splitlines()) <= times:
            os.kill(os.getpid(), signal.SIGKILL)
        return "survived"
'''


@dataclass(frozen=True)
class Gate:
    """A place where a capability waits until the test lets it pass."""

    path: Path

    def __str__(self) -> str:
        """Return what the capability is told."""
        return str(self.path)

    @property
    def is_reached(self) -> bool:
        """Tell whether somebody stands before it."""
        return self.path.with_suffix(".reached").exists()

    def await_arrival(self) -> None:
        """Wait until somebody stands before it."""
        eventually(lambda: self.is_reached, timeout=SOON)

    def open(self) -> None:
        """Let everybody pass from now on."""
        self.path.with_suffix(".open").touch()


@dataclass(frozen=True)
class Installation:
    """A folder with agents and settings; processes that serve it; a runtime to talk to them."""

    folder: Path
    settings: Mapping[str, str]
    runtime: Runtime
    supervisor: Supervisor

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of its processes."""
        return child_environment(self.settings)

    def gate(self) -> Gate:
        """Return a new gate."""
        return Gate(self.folder / f"gate-{uuid4().hex}")

    def file(self) -> Path:
        """Return a new path."""
        return self.folder / f"file-{uuid4().hex}"

    def logs(self) -> str:
        """Return all that its processes have written."""
        logs = sorted(self.folder.glob("*.log"))
        return "\n".join(log.read_text(errors="replace") for log in logs)

    def run(self, task_type: str, **parameters: object) -> TaskResult:
        """Run a task to its end."""
        tasks = self.runtime.tasks
        task_id = tasks.enqueue(Task(task_type=task_type, parameters=parameters))
        return tasks.result(task_id, timeout=SOON)

    def start_worker(self, agent: str, *options: str) -> Child:
        """Start a worker of one agent type, and wait until it is ready."""
        return self.start((f"worker-{agent}", worker(agent, *options)))[0]

    def start(
        self,
        *processes: tuple[str, Sequence[str]],
        app: str = "datamcp",
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> list[Child]:
        """Start Celery's workers or beats, at once, and wait until all are ready."""
        children = [
            self.supervisor.start(
                (own_name := f"{name}-{uuid4().hex[:6]}"),
                [sys.executable, "-m", "celery", "-A", app, *arguments],
                log_path=self.folder / f"{own_name}.log",
                env=dict(environment or self.environment),
                cwd=cwd or self.folder,
            )
            for name, arguments in processes
        ]
        for child in children:
            eventually(lambda child=child: is_ready(child), timeout=START)
        return children


def worker(agent: str, *options: str) -> tuple[str, ...]:
    """Return the command of a worker of one agent type."""
    return ("worker", "--agent", agent, *options)


BEAT = ("beat", "--pidfile", "", "--loglevel", "INFO")
"""The command of beat."""


def is_ready(child: Child) -> bool:
    """Tell whether a worker or a beat does its work; fail if it has ended."""
    assert child.is_alive, child.log_tail(20)
    log = child.log_path.read_text(errors="replace")
    return " ready." in log or "beat: Starting" in log


@contextmanager
def installation(
    folder: Path, redis_server: RedisServer, database_url: str, **settings: str
) -> Iterator[Installation]:
    """Have an installation of the agents `bench` and `lab`; all its processes end with it."""
    package = f"mypkg_{uuid4().hex[:8]}"
    (folder / package).mkdir(parents=True)
    (folder / package / "__init__.py").touch()
    (folder / package / "bench.py").write_text(BENCH)
    (folder / package / "lab.py").write_text(LAB)
    prefix = f"test-{uuid4().hex}:"
    agents = {
        "agents.bench": {"module": f"{package}.bench:Bench", "concurrency": 2, "pool": "prefork"},
        "agents.lab": {"module": f"{package}.lab:Lab", "concurrency": 2, "pool": "prefork"},
        "agents.single": {"module": f"{package}.lab:Lab", "concurrency": 1, "pool": "prefork"},
    }
    all_settings = {
        "system.state_dir": str(folder / "state"),
        "broker.url": redis_server.broker_url,
        "broker.key_prefix": prefix,
        "storage.database_url": database_url,
        **{
            f"{path}.{key}": str(value)
            for path, entry in agents.items()
            for key, value in entry.items()
        },
        **settings,
    }
    sys.path.insert(0, str(folder))
    try:
        with Supervisor() as supervisor, datamcp.connect(overrides=all_settings) as runtime:
            yield Installation(folder, all_settings, runtime, supervisor)
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.partition(".")[0] == package]:
            del sys.modules[name]
        redis_server.remove_keys(prefix)


def words_in(path: Path) -> list[str]:
    """Return the words that were noted in a file."""
    return path.read_text().split() if path.exists() else []


@contextmanager
def on_database(
    kind: str, request: pytest.FixtureRequest, folder: Path, **settings: str
) -> Iterator[Installation]:
    """Have an installation on a database of this kind."""
    redis_server: RedisServer = request.getfixturevalue("redis_server")
    if kind == "sqlite":
        path = folder / "ledger.db"
        copyfile(request.getfixturevalue("sqlite_template"), path)
        with installation(folder, redis_server, f"sqlite:///{path}", **settings) as found:
            yield found
        return
    databases: TestDatabases = request.getfixturevalue("databases")
    with (
        databases.database(template=request.getfixturevalue("postgresql_template")) as url,
        installation(folder, redis_server, url, **settings) as found,
    ):
        yield found


@contextmanager
def foreign_app(installed: Installation) -> Iterator[Celery]:
    """Have a Celery app of a program that shares our broker, and nothing else of us."""
    prefix = {"global_keyprefix": installed.settings["broker.key_prefix"]}
    url = installed.settings["broker.url"]
    app = Celery("foreign", broker=url, backend=url, set_as_current=False)
    app.conf.update(
        broker_transport_options={**prefix, "priority_steps": list(range(10))},
        result_backend_transport_options=prefix,
    )
    try:
        yield app
    finally:
        app.close()
