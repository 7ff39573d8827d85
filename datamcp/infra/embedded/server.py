"""What all embedded servers share: start, check that it is ours, restart, stop."""

import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from datamcp.errors import BackendUnavailable
from datamcp.infra.embedded.folder import make_private_folder, remove_folder
from datamcp.infra.leash import User
from datamcp.infra.processes import Child, Exit, spawn

_POLL = 0.02  # seconds


class EmbeddedServer(ABC):
    """One server process with a private folder; `start` and `stop` it, or use it in a `with`."""

    kind: ClassVar[str]  # in the folder's name and in messages
    stop_signal: ClassVar[signal.Signals]  # asks for a quick, orderly end; also when we die
    stop_timeout: ClassVar[float] = 10.0  # seconds
    environment: ClassVar[Mapping[str, str] | None] = None  # None: ours

    def __init__(
        self,
        *,
        start_timeout: float,
        user: User | None = None,
        home: Path | None = None,
        log_path: Path | None = None,
    ) -> None:
        """Take the seconds that a start may take, and whom the server runs as, if not as we do.

        `home` is a folder that stays, instead of a private one that goes with the server, and
        `log_path` another place for its log.
        """
        self._start_timeout = start_timeout
        self._user = user
        self._home = home
        self._log_path = log_path
        self._folder: Path | None = None
        self._child: Child | None = None

    @abstractmethod
    def _command(self) -> list[str]:
        """Return the command that runs the server in the foreground."""

    @abstractmethod
    def _answering_pid(self) -> int | None:
        """Return the process id of the server that answers on our socket, or None."""

    def _prepare(self) -> None:  # noqa: B027  a hook: some servers need nothing
        """Put into the new folder what the server needs before its first start."""

    @property
    def folder(self) -> Path:
        """The folder of its socket: it exists from `start` to `stop`, and only we may enter it."""
        if self._folder is None:
            raise RuntimeError(f"the embedded {self.kind} was not started")
        return self._folder

    @property
    def pid(self) -> int | None:
        """The server's process id, or None if it does not run."""
        return self._child.pid if self._child is not None and self._child.is_alive else None

    @property
    def ended(self) -> Exit | None:
        """How the server ended, if it did so by itself."""
        return None if self._child is None else self._child.poll()

    def start(self) -> Self:
        """Start the server and return when it answers.

        Raises BackendUnavailable, with the end of its log, if it does not come up.
        """
        if self._folder is not None:
            raise RuntimeError(f"the embedded {self.kind} was started already")
        self._folder = self._home or make_private_folder(self.kind, self._user)
        try:
            self._prepare()
            self._launch()
        except BaseException:
            self.stop()
            raise
        return self

    def restart(self) -> None:
        """End the server if it runs, and start it again at the same URL."""
        self._end()
        self._launch()

    def relaunch(self) -> int:
        """Start a server that has ended again at the same URL; return its process id at once.

        It answers a little later, or ends.
        """
        self._end()
        self._child = self._spawn(self.kind, self._command())
        return self._child.pid

    def stop(self) -> None:
        """End the server, wait until it is gone, and remove its folder. May be repeated."""
        try:
            self._end()
        finally:
            if self._folder is not None and self._folder != self._home:
                remove_folder(self._folder)
            self._folder = None

    def __enter__(self) -> Self:
        """Start the server."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the server."""
        self.stop()

    def _launch(self) -> None:
        self._child = self._spawn(self.kind, self._command())
        self._await_answer(self._child)

    def _spawn(self, name: str, command: list[str]) -> Child:
        """Start a process as the server's user, in its folder."""
        return spawn(
            name,
            command,
            log_path=self._log_path or self.folder / f"{name}.log",
            env=self.environment,
            cwd=self.folder,
            user=self._user,
            death_signal=self.stop_signal,
        )

    def _await_answer(self, child: Child) -> None:
        deadline = time.monotonic() + self._start_timeout
        while self._answering_pid() != child.pid:
            ended = child.wait(_POLL)
            if ended is not None:
                raise self._failure(child, str(ended))
            if time.monotonic() > deadline:
                raise self._failure(child, f"no answer within {self._start_timeout:g} s")

    def _failure(self, child: Child, reason: str) -> BackendUnavailable:
        tail = child.log_tail()
        shown = f"{reason}; its log ends with:\n{tail}" if tail else reason
        return BackendUnavailable(f"the embedded {self.kind}", shown)

    def _end(self) -> None:
        if self._child is not None:
            self._child.stop(self.stop_timeout, self.stop_signal)
            self._child = None
