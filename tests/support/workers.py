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
from amqp.exceptions import ResourceLocked
from celery import Celery
from kombu import Connection, Exchange, Queue

import datamcp
from datamcp import Task, TaskResult
from datamcp.bootstrap.runtime import Runtime
from datamcp.config.text import child_environment
from datamcp.infra.processes import Child, Supervisor
from datamcp.infra.redis import result_url
from support.brokers import RedisServer
from support.databases import TestDatabases
from support.eventually import eventually
from support.processes import Killer

START = 90.0  # seconds that a process may take to start on a busy machine
SOON = 60.0  # seconds in which anything happens that should

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

from datamcp import BaseAgent, Cancel, Fail, Retry, Snooze, capability
from sqlalchemy import text


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

    @capability(max_running=1, per="account")
    def book(self, account: str, path: str, gate: str = "") -> str:
        """Note the account when it begins and when it ends; in between, wait for the gate."""
        Path(path + ".pid").write_text(str(os.getpid()))
        with Path(path).open("a") as notes:
            notes.write(f"+{account}\\n")
        while gate and not passed(gate):
            time.sleep(0.01)
        with Path(path).open("a") as notes:
            notes.write(f"-{account}\\n")
        return account

    @capability(rate="5/s")
    def tick(self) -> None:
        """Do nothing, five times a second."""

    @capability
    def nap(self) -> None:
        """Take a fifth of a second."""
        time.sleep(0.2)

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

    @capability(batch=20, timeout=1.0, retry_count=1)
    def tiny(self, path: str, word: str, how: str = "") -> str:
        """Write a word, unless told to do something else; a repetition does as all others do."""
        is_first = self.context.attempt == 1 and not Path(f"{path}.{word}").exists()
        Path(f"{path}.{word}").touch()
        if how == "late":
            time.sleep(0.4)
        elif how and is_first:
            if how == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if how == "fail":
                raise ValueError("on request")
            if how == "wait":
                time.sleep(60)
            if how == "resist":
                self.stubborn(f"{path}.gate")
        with Path(path).open("a") as file:
            print(word, file=file)
        return word

    @capability(retry_count=1)
    def brief(self, path: str, word: str, how: str = "", gate: str = "") -> str:
        """Write a word, unless told to do something else first."""
        match how:
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "fail" if self.context.attempt == 1:
                raise ValueError("on request")
            case "snooze" if not Path(f"{path}.{word}").exists():
                Path(f"{path}.{word}").touch()
                raise Snooze(0)
            case "hold":
                self.hold(gate)
            case "log":
                self.context.logger.info("said %s", word)
            case "call":
                self.context.call("lab.echo", value=word)
            case "transaction":
                with self.context.transaction() as conn:
                    conn.execute(text("SELECT 1"))
        with Path(path).open("a") as file:
            print(word, file=file)
        return word

    @capability
    def say(self, word: str) -> None:
        """Log a word, and print it."""
        self.context.logger.info("logged %s", word)
        print(f"printed {word}")

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

    @capability(retry_count=2)
    def flaky(self, path: str, times: int, kind: str = "ValueError") -> int:
        """Fail so many times; return the number of the attempt that did not."""
        with Path(path).open("a") as notes:
            notes.write("tried\\n")
        if self.context.attempt <= times:
            raise {"ValueError": ValueError, "OSError": ConnectionResetError}[kind]("not yet")
        return self.context.attempt

    @capability
    def ask(self, path: str, how: str) -> str:
        """End otherwise than by a value or an error, at the first call."""
        with Path(path).open("a") as notes:
            notes.write(how + "\\n")
        if len(Path(path).read_text().splitlines()) > 1:
            return f"attempt {self.context.attempt}"
        asks = {
            "retry": Retry("busy", delay=0.1, code="busy"),
            "snooze": Snooze(0.1),
            "cancel": Cancel("not needed"),
            "fail": Fail("closed", code="closed"),
        }
        if how.startswith("return "):
            return asks[how.removeprefix("return ")]
        raise asks[how]

    @capability
    def slow_once(self, gate: str, stubborn: bool = False) -> int:
        """Run out of time in the first attempt; return the number of the one that did not."""
        while self.context.attempt == 1 and not passed(gate):
            try:
                time.sleep(0.01)
            except BaseException:
                if not stubborn:
                    raise
        return self.context.attempt

    @capability
    def hold_again(self, gate: str) -> int:
        """Fail in the first attempt, wait at the gate in the next; return its number."""
        if self.context.attempt == 1:
            raise ValueError("not yet")
        Path(gate + ".pid").write_text(str(os.getpid()))
        self.hold(gate)
        return self.context.attempt

    @capability
    def enter(self, number: int, before: str = "", within: str = "") -> int:
        """Write a row together with the end; wait at a gate before that, or with the row written."""
        if before:
            self.hold(before)
        with self.context.transaction() as conn:
            conn.execute(text("INSERT INTO effects VALUES (:number)"), {"number": number})
            if within:
                self.hold(f"{within}-{number}" if self.context.attempt == 1 else within)
        return number

    @capability
    def page(self, gate: str, last: int, how: str) -> list[int]:
        """Note page after page, then stop in some way; go on there in the next attempt."""
        first = self.context.last_details.get("page", 0)
        for number in range(first + 1, last + 1):
            self.context.heartbeat(progress=number / last, details={"page": number})
        if first == 0 and how == "fail":
            raise ValueError("half way")
        if first == 0 and how == "hold":
            Path(gate + ".pid").write_text(str(os.getpid()))
            self.hold(gate)
        return [first, last]

    @capability
    def relay(self, path: list[str], last: str, parameters: dict[str, object]) -> object:
        """Call the capability that is last, through others."""
        if not path:
            return self.context.call(last, **parameters)
        return self.context.call(path[0], path=path[1:], last=last, parameters=parameters)

    @capability(batch=20)
    def tiny_relay(self, last: str, parameters: dict[str, object]) -> object:
        """Call a capability, unless none is named."""
        return self.context.call(last, **parameters) if last else None

    @capability
    def relay_after(self, gate: str, last: str, value: object) -> object:
        """Call a capability once the gate is open."""
        self.hold(gate)
        return self.context.call(last, value=value)

    @capability
    async def relay_later(self, path: list[str], last: str, parameters: dict[str, object]) -> object:
        """Do so on an event loop."""
        if not path:
            return await self.context.acall(last, **parameters)
        return await self.context.acall(path[0], path=path[1:], last=last, parameters=parameters)

    @capability
    async def fan(self, wanted: str, many: list[dict[str, object]], gate: str = "") -> object:
        """Call a capability many times at once; count the turns of the event loop meanwhile."""
        calls = [self.context.acall(wanted, **parameters) for parameters in many]
        ticks, gathered = 0, asyncio.gather(*calls)
        while not gathered.done():
            ticks += 1
            if ticks == 20 and gate:
                Path(gate + ".open").touch()
            await asyncio.sleep(0.01)
        return [await gathered, ticks]

    @capability
    def catch(self, wanted: str, parameters: dict[str, object]) -> list[str]:
        """Call a capability; return what it fails with."""
        try:
            self.context.call(wanted, **parameters)
        except Exception as error:
            return [type(error).__name__, str(error)]
        return []

    @capability(timeout=60, retry_count=3)
    def again(self, wanted: str, many: list[dict[str, object]], path: str, how: str) -> object:
        """Call a capability, and fail or die in the first attempt; call in another order then."""
        is_first = not Path(path).exists()
        Path(path).touch()
        found = [
            self.context.call(wanted, **one) for one in (many if is_first else reversed(many))
        ]
        if is_first and how == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if is_first and how == "fail":
            raise ValueError("the first time")
        if is_first and how == "snooze":
            raise Snooze(0)
        return found

    @capability(max_running=1)
    def alone(self, deep: int) -> int:
        """Call oneself under a limit of one."""
        return deep if deep == 0 else self.context.call("lab.alone", deep=deep - 1)

    @capability(retry_count=2, timeout=60)
    def dig(self, deep: int) -> int:
        """Call oneself so many times, and return how deep that was."""
        return 0 if deep == 0 else 1 + self.context.call("lab.dig", deep=deep - 1)

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
        "scheduler.max_retries": "0",
        "scheduler.retry_delay": "0",
        **{
            f"{path}.{key}": str(value)
            for path, entry in agents.items()
            for key, value in entry.items()
        },
        **settings,
    }
    sys.path.insert(0, str(folder))
    try:
        with (
            Killer() as supervisor,
            datamcp.connect(overrides=all_settings) as runtime,
        ):
            yield Installation(folder, all_settings, runtime, supervisor)
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.partition(".")[0] == package]:
            del sys.modules[name]
        redis_server.remove_keys(prefix)


def has_run_for(installed: Installation, task_id: str, seconds: float, *, by: str) -> bool:
    """Tell by the database's clock, which a task of another type shows."""
    started = installed.runtime.tasks.status(task_id).started_at
    parameters = {"a": 1} if by == "bench.add" else {"value": 1}
    other = installed.runtime.tasks.enqueue(Task(task_type=by, parameters=parameters))
    installed.runtime.tasks.result(other, timeout=SOON)
    finished = installed.runtime.tasks.status(other).finished_at
    assert started is not None
    assert finished is not None
    return (finished - started).total_seconds() >= seconds


def words_in(path: Path) -> list[str]:
    """Return the words that were noted in a file."""
    return path.read_text().split() if path.exists() else []


QUEUES = ("bench", "green", "lab", "single", "pipelines", "research", "trading")
"""Of every installation: on RabbitMQ they have no prefix."""

_TURN = 280.0  # seconds that a test may wait until others have done with them


@contextmanager
def queues_removed(amqp_url: str) -> Iterator[None]:
    """Have no queue of an installation on RabbitMQ, before and after; one test has them at a time.

    Other processes of the run may share a server that is not ours.
    """
    with Connection(amqp_url) as connection:
        eventually(lambda: _are_ours(connection), timeout=_TURN)
        try:
            _remove_queues(amqp_url)
            yield
        finally:
            _remove_queues(amqp_url)


def _are_ours(connection: Connection) -> bool:
    """Tell whether nobody else has the queues, as long as the connection is there."""
    try:
        connection.channel().queue_declare("datamcp-tests", exclusive=True)
    except ResourceLocked:
        return False
    return True


def _remove_queues(amqp_url: str) -> None:
    with Connection(amqp_url) as connection:
        for name in QUEUES:
            connection.default_channel.queue_delete(name)


@contextmanager
def on_database(
    kind: str, request: pytest.FixtureRequest, folder: Path, **settings: str
) -> Iterator[Installation]:
    """Have an installation on a database of this kind; or, as `rabbitmq`, on that and SQLite."""
    redis_server: RedisServer = request.getfixturevalue("redis_server")
    if kind == "rabbitmq":
        amqp_url: str = request.getfixturevalue("amqp_url")
        chosen = {
            "broker.url": amqp_url,
            "storage.cache_url": redis_server.redis_url,
            **settings,
        }
        with (
            queues_removed(amqp_url),
            on_database("sqlite", request, folder, **chosen) as found,
        ):
            yield found
        return
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
    backend = result_url(installed.settings.get("storage.cache_url", url))
    app = Celery("foreign", broker=url, backend=backend, set_as_current=False)
    options = {**prefix, "priority_steps": list(range(10))}
    app.conf.update(
        broker_transport_options=options if url.startswith("redis") else {},
        result_backend_transport_options=prefix,
        task_queues=[
            Queue(name, Exchange(""), routing_key=name, max_priority=9)
            for name in ([] if url.startswith("redis") else QUEUES)
        ],
    )
    try:
        yield app
    finally:
        app.close()
