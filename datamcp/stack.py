"""A whole installation on this machine, as child processes: broker, worker pools, beat.

`datamcp demo` runs one. While it runs, `stack.json` in the state folder tells other commands of
the same folder where its broker and its ledger are.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from datamcp.config.settings import GlobalConfig
from datamcp.config.stack import STACK_FILE
from datamcp.config.text import child_environment
from datamcp.errors import ConfigError, DatamcpError
from datamcp.infra.embedded.valkey import EmbeddedValkey
from datamcp.infra.processes import Exit, Supervisor

MAX_RESTARTS = 3  # of one process, before the stack gives up


class StackError(DatamcpError):
    """A process of the stack died too often."""

    code = "stack_failed"


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the stack: its name and its command line."""

    name: str
    argv: Sequence[str]


def worker(agent: str, concurrency: int) -> Process:
    """Return the worker of one agent type, or of `pipelines`."""
    command = ["worker", "--agent", agent, "--concurrency", str(concurrency)]
    return Process(agent, [*_CELERY, *command, "--hostname", f"{agent}-%d@%h"])


def beat() -> Process:
    """Return beat."""
    return Process("beat", [*_CELERY, "beat", "--loglevel", "INFO", "--pidfile", ""])


_CELERY = (sys.executable, "-m", "celery", "-A", "datamcp")


@dataclass
class Stack:
    """Starts and watches the processes; as a context manager, leaves none behind."""

    config: GlobalConfig
    processes: Sequence[Process]
    settings: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Find the folders."""
        self.folder = Path(self.config.system.state_dir)
        self.logs = self.folder / "logs"
        self._supervisor = Supervisor()
        self._valkey: EmbeddedValkey | None = None
        self._restarts: dict[str, int] = {}
        self._environment: dict[str, str] = {}

    def __enter__(self) -> Self:
        """Start the broker, unless one is configured."""
        self.logs.mkdir(parents=True, exist_ok=True)
        _refuse_second(self.folder / STACK_FILE)
        if self.config.broker.url is None:
            self._valkey = EmbeddedValkey()
            self._valkey.start()
        self._environment = child_environment({**self.settings, "broker.url": self.broker_url})
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Stop every process, the broker last."""
        try:
            self._supervisor.stop_all()
        finally:
            (self.folder / STACK_FILE).unlink(missing_ok=True)
            if self._valkey is not None:
                self._valkey.stop()

    @property
    def broker_url(self) -> str:
        """Where the broker is."""
        return str(self.config.broker.url) if self._valkey is None else self._valkey.broker_url

    def start(self) -> None:
        """Start all processes, and tell other commands of this folder."""
        for process in self.processes:
            self._start(process)
        record = {
            "broker_url": self.broker_url,
            "database_url": str(self.config.storage.database_url),
            "pid": os.getpid(),
        }
        path = self.folder / STACK_FILE
        path.touch(mode=0o600)  # the URLs may hold passwords
        path.write_text(json.dumps(record))

    def nodename(self, name: str, pid: int) -> str:
        """Return the name under which a worker claims tasks."""
        return f"{name}-{pid}"

    def restart_dead(self) -> list[Exit]:
        """Start anew what has died; return how it died.

        Raises StackError once a process has died too often.
        """
        dead = self._supervisor.exits()
        for ended in dead:
            count = self._restarts[ended.name] = self._restarts.get(ended.name, 0) + 1
            if count > MAX_RESTARTS:
                log = self._supervisor[ended.name].log_path
                raise StackError(f"{ended}, {count} times; its log is {log}")
            self._start(next(item for item in self.processes if item.name == ended.name))
        return dead

    def _start(self, process: Process) -> None:
        self._supervisor.start(
            process.name,
            process.argv,
            log_path=self.logs / f"{process.name}.log",
            env=self._environment,
        )


def _refuse_second(path: Path) -> None:
    """Raise ConfigError if another stack runs from this folder."""
    try:
        pid = int(json.loads(path.read_text())["pid"])
        os.kill(pid, 0)
    except (FileNotFoundError, ValueError, KeyError, TypeError, ProcessLookupError):
        return
    except PermissionError:
        pass
    raise ConfigError(f"a stack already runs from {path.parent} (pid {pid}); stop it first")
