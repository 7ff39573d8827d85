"""Processes of this machine in the place of docker's containers, as pytest-celery uses them.

pytest-celery talks to `docker.models.containers.Container` through a wrapper. Here is what it asks
of one: `status`, `logs`, `kill`, `restart` and the rest, for a program and for an embedded server.
"""

import os
import shlex
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from signal import Signals
from threading import Event
from typing import Any

from datamcp.clock import SystemClock
from datamcp.infra.embedded.valkey import EmbeddedValkey
from datamcp.infra.processes import Supervisor

_STEP = 0.05  # seconds between looks
_PATIENCE = 10.0  # seconds for what was sent a signal
_NO_NETWORK: Mapping[str, Any] = {"Networks": {}, "Ports": {}}


class ProcessContainer(ABC):
    """One process, with docker's words for it."""

    def __init__(self, name: str) -> None:
        """Take a name."""
        self.name = name

    @property
    def id(self) -> str:
        """Its name, as it has no other."""
        return self.name

    @property
    def attrs(self) -> dict[str, Any]:
        """What docker knows of a container: this one has no network of its own."""
        return {"NetworkSettings": dict(_NO_NETWORK), "HostConfig": {"PortBindings": {}}}

    @property
    def status(self) -> str:
        """`running` or `exited`."""
        return "running" if self.is_alive else "exited"

    @property
    @abstractmethod
    def is_alive(self) -> bool:
        """Whether it runs."""

    @abstractmethod
    def logs(self) -> bytes:
        """Return all that it has written, at every start."""

    @abstractmethod
    def kill(self, signal: str | int | None = None) -> None:
        """Send a signal, by default SIGKILL; return at once, or when what was killed is gone."""

    @abstractmethod
    def restart(self, timeout: float = 10) -> None:
        """Stop it, at the latest after some seconds, and start it; return when it is ready."""

    def reload(self) -> None:  # noqa: B027  docker's word, and none has anything to do here
        """Do nothing: what is asked is always looked at."""

    def exec_run(self, command: str | Sequence[str]) -> tuple[int, bytes]:
        """Run a command in its folder; return the exit code, and what it wrote."""
        words = shlex.split(command) if isinstance(command, str) else command
        ran = subprocess.run(
            words,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        return ran.returncode, ran.stdout

    @property
    @abstractmethod
    def folder(self) -> Path:
        """Where it runs."""

    @property
    def environment(self) -> Mapping[str, str] | None:
        """Its variables; None for ours."""
        return None


class Program(ProcessContainer):
    """A program that writes a sign into its log once it is ready."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        supervisor: Supervisor,
        sign: str,
    ) -> None:
        """Take what to run, and what ends it."""
        super().__init__(name)
        self._argv = argv
        self._folder = folder
        self._environment = environment
        self._supervisor = supervisor
        self._sign = sign.encode()

    @property
    def folder(self) -> Path:
        """Where it runs."""
        return self._folder

    @property
    def environment(self) -> Mapping[str, str]:
        """All its variables."""
        return self._environment

    @property
    def pid(self) -> int:
        """The id of its main process."""
        return self._supervisor[self.name].pid

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._supervisor[self.name].is_alive

    def start(self) -> None:
        """Start it; return when it is ready, or has ended."""
        known = len(self.logs())
        child = self._supervisor.start(
            self.name, self._argv, log_path=self._log, env=self._environment, cwd=self._folder
        )
        while self._sign not in self.logs()[known:] and child.wait(_STEP) is None:
            pass

    def logs(self) -> bytes:
        """Return all that it has written, at every start."""
        return self._log.read_bytes() if self._log.exists() else b""

    def kill(self, signal: str | int | None = None) -> None:
        """Send a signal to its main process; with SIGKILL its whole group is gone on return."""
        child, signum = self._supervisor[self.name], signal_of(signal)
        if signum is not Signals.SIGKILL:
            child.terminate(signum)
            return
        child.kill()
        child.reap()

    def restart(self, timeout: float = 10) -> None:
        """Stop it, at the latest after some seconds, and start it; return when it is ready."""
        self._supervisor[self.name].stop(timeout)
        self.start()

    @property
    def _log(self) -> Path:
        return self._folder.with_suffix(".log")


class Valkey(ProcessContainer):
    """An embedded Valkey; what it holds is gone when it ends, and its URL stays."""

    def __init__(self, name: str, server: EmbeddedValkey) -> None:
        """Take a server that was started."""
        super().__init__(name)
        self._server = server

    @property
    def folder(self) -> Path:
        """Where it runs."""
        return self._server.folder

    @property
    def broker_url(self) -> str:
        """The URL for Celery."""
        return self._server.broker_url

    @property
    def redis_url(self) -> str:
        """The URL for redis-py."""
        return self._server.redis_url

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._server.pid is not None

    def logs(self) -> bytes:
        """Return all that it has written, at every start."""
        return (self.folder / "valkey.log").read_bytes()

    def kill(self, signal: str | int | None = None) -> None:
        """Send a signal; return when it is gone, at the latest after some seconds."""
        pid, clock = self._server.pid, SystemClock()
        if pid is None:
            return
        with suppress(ProcessLookupError):
            os.kill(pid, signal_of(signal))
        deadline = clock.monotonic() + _PATIENCE
        while self._server.pid is not None and clock.monotonic() < deadline:
            Event().wait(_STEP)

    def restart(self, timeout: float = 10) -> None:  # noqa: ARG002  it knows its own
        """Stop it and start it; return when it answers."""
        self._server.restart()


def signal_of(given: str | int | None) -> Signals:
    """Return a signal by its number or name (`SIGTERM`, `TERM`); SIGKILL for None."""
    match given:
        case None:
            return Signals.SIGKILL
        case int():
            return Signals(given)
        case str():
            return Signals[given if given.startswith("SIG") else f"SIG{given}"]
