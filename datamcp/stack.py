"""A whole installation on this machine, as child processes: broker, worker pools, beat.

`datamcp demo` runs one. While it runs, `stack.json` in the state folder tells other commands of
the same folder where its broker and its ledger are.
"""

import fcntl
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from datamcp.config.settings import GlobalConfig
from datamcp.config.stack import STACK_FILE
from datamcp.config.text import child_environment
from datamcp.errors import ConfigError, StackError
from datamcp.infra.embedded.valkey import EmbeddedValkey
from datamcp.infra.processes import Exit, Supervisor
from datamcp.storage.atomic import written_whole

MAX_RESTARTS = 3  # of one process, before the stack gives up

_CELERY = (sys.executable, "-m", "celery", "-A", "datamcp")


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the stack: its name and its command line."""

    name: str
    argv: Sequence[str]


def worker(agent: str, concurrency: int) -> Process:
    """Return the worker of one agent type, or of `pipelines`."""
    options = ("worker", "--agent", agent, "--concurrency", str(concurrency))
    return Process(agent, (*_CELERY, *options))


def beat() -> Process:
    """Return beat."""
    return Process("beat", (*_CELERY, "beat", "--loglevel", "INFO", "--pidfile", ""))


class Stack:
    """Starts and watches the processes; as a context manager, leaves none behind."""

    def __init__(
        self,
        config: GlobalConfig,
        processes: Sequence[Process],
        *,
        overrides: Mapping[str, str] | None = None,
    ) -> None:
        """Take the configuration, what to run, and the settings that override it."""
        self.config = config
        self.folder = Path(config.system.state_dir)
        self.logs = self.folder / "logs"
        self._processes = {process.name: process for process in processes}
        self._overrides = dict(overrides or {})
        self._valkey: EmbeddedValkey | None = None
        self._supervisor = Supervisor()
        self._cleanup = ExitStack()
        self._restarts: dict[str, int] = {}
        self.pids: dict[str, list[int]] = {name: [] for name in self._processes}
        """Every process id that each process has had."""

    def __enter__(self) -> Self:
        """Start the broker, unless one is configured. `start` starts the rest."""
        with ExitStack() as cleanup:
            cleanup.enter_context(_sole_stack(self.folder))
            if self.config.broker.url is None:
                self._valkey = cleanup.enter_context(EmbeddedValkey())
            cleanup.callback((self.folder / STACK_FILE).unlink, missing_ok=True)
            cleanup.enter_context(self._supervisor)
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop every process, the broker last."""
        self._cleanup.__exit__(kind, error, trace)

    @property
    def broker_url(self) -> str:
        """Where the broker is."""
        return str(self.config.broker.url) if self._valkey is None else self._valkey.broker_url

    def start(self) -> None:
        """Start all processes, and tell other commands of this folder."""
        for process in self._processes.values():
            self._start(process)
        record = {
            "broker_url": self.broker_url,
            "database_url": str(self.config.storage.database_url),
            "pid": os.getpid(),
        }
        with written_whole(self.folder / STACK_FILE) as path:
            path.touch(mode=0o600)  # the URLs may hold passwords
            path.write_text(json.dumps(record))

    def restart_dead(self) -> list[Exit]:
        """Start anew what has died, the broker too; return how processes died.

        Raises StackError once one has died too often.
        """
        dead = self._supervisor.exits()
        broker = None if self._valkey is None else self._valkey.ended
        if self._valkey is not None and broker is not None:
            self._count(broker.name, str(broker))
            self._valkey.restart()
        for ended in dead:
            log = self._supervisor[ended.name].log_path
            self._count(ended.name, f"{ended}; its log is {log}")
            self._start(self._processes[ended.name])
        return [*dead, broker] if broker else dead

    def stop(self) -> None:
        """Stop all processes but the broker."""
        self._supervisor.stop_all()

    def _count(self, name: str, reason: str) -> None:
        self._restarts[name] = self._restarts.get(name, 0) + 1
        if self._restarts[name] > MAX_RESTARTS:
            raise StackError(f"{reason} (started {MAX_RESTARTS + 1} times)")

    def _start(self, process: Process) -> None:
        child = self._supervisor.start(
            process.name,
            process.argv,
            log_path=self.logs / f"{process.name}.log",
            env=child_environment({**self._overrides, "broker.url": self.broker_url}),
        )
        self.pids[process.name].append(child.pid)


@contextmanager
def _sole_stack(folder: Path) -> Iterator[None]:
    """Make the state folder ours while the block runs; the system ends that if we are killed.

    Raises ConfigError if another stack runs from it, or it can't be written to.
    """
    try:
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        lock = (folder / "stack.lock").open("a", encoding="utf-8")
    except OSError as error:
        message = f"system.state_dir: {folder} can't be written to: {error.strerror}"
        raise ConfigError(message) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = f"a stack already runs from {folder}{_owner(folder)}; stop it first"
            raise ConfigError(message) from error
        yield


def _owner(folder: Path) -> str:
    try:
        pid = json.loads((folder / STACK_FILE).read_text(encoding="utf-8"))["pid"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""  # it is only starting
    return f" (pid {pid})"
