"""Child processes: started in a session of their own, watched, and gone when we are.

A child is leader of its own process group, so that Ctrl-C in a terminal reaches only us, and its
whole group can be ended with it: a Celery worker's pool processes never outlive the worker. Only
processes that were started here are ever signalled.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from datamcp.errors import ConfigError
from datamcp.infra.leash import User, leashed

_GROUP_GONE_TIMEOUT = 2.0
_LAST_WORDS = 65_536  # bytes
_LOOK = 0.1  # seconds between two looks at whether the waiting is urgent


@dataclass(frozen=True, slots=True)
class Exit:
    """How a child ended; `code` is its exit code, or minus the signal that killed it."""

    name: str
    pid: int
    code: int

    @property
    def signal_name(self) -> str | None:
        """The signal that killed it (`SIGKILL`), or None if it ended by itself."""
        if self.code >= 0:
            return None
        try:
            return signal.Signals(-self.code).name
        except ValueError:
            return f"signal {-self.code}"

    def __str__(self) -> str:
        """Return one clause for people: `worker (pid 42) was killed by SIGKILL`."""
        ending = f"was killed by {self.signal_name}" if self.code < 0 else f"exited {self.code}"
        return f"{self.name} (pid {self.pid}) {ending}"


class Child:
    """One process that was started here, with its process group."""

    def __init__(
        self, name: str, process: subprocess.Popen[bytes], log_path: Path, log_start: int
    ) -> None:
        """Take a process that leads its own session, and its log; `spawn` makes one.

        `log_start` is how long the log was before.
        """
        self.name = name
        self.log_path = log_path
        self._log_start = log_start
        self._process = process
        self._exit: Exit | None = None

    @property
    def pid(self) -> int:
        """Its process id, which is also its group's."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self.poll() is None

    def poll(self) -> Exit | None:
        """Return how it ended, or None while it runs."""
        code = self._process.poll()
        return None if code is None else self._settle(code)

    def wait(self, timeout: float) -> Exit | None:
        """Wait at most `timeout` seconds for its end; None if it still runs."""
        try:
            return self._settle(self._process.wait(max(timeout, 0)))
        except subprocess.TimeoutExpired:
            return None

    def terminate(self, signum: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end. Only the leader is told: it knows how to end its own children."""
        if self.is_alive:
            self._process.send_signal(signum)

    def kill(self) -> None:
        """End it and its whole group now; `reap` tells when they are gone."""
        if self.is_alive:
            self._kill_group()

    def reap(self) -> Exit:
        """Wait until it has ended and nothing of its group is left."""
        ended = self._settle(self._process.wait())
        self._await_group()
        return ended

    def stop(self, timeout: float, signum: signal.Signals = signal.SIGTERM) -> Exit:
        """Ask it to end, and kill it and what is left of its group after `timeout` seconds."""
        try:
            self.terminate(signum)
            self.wait(timeout)
        finally:
            self.kill()
            ended = self.reap()
        return ended

    def log_tail(self, lines: int = 5) -> str:
        """Return the last lines that it wrote."""
        text = self.log_path.read_text(errors="replace") if self.log_path.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def last_words(self) -> str:
        """Return the end of what it has written, and nothing of who wrote there before."""
        if not self.log_path.exists():
            return ""
        with self.log_path.open("rb") as log:
            length = log.seek(0, os.SEEK_END)
            began = self._log_start if self._log_start <= length else 0  # else it was cut
            log.seek(max(began, length - _LAST_WORDS))
            return log.read().decode(errors="replace")

    def _settle(self, code: int) -> Exit:
        if self._exit is None:
            self._exit = Exit(self.name, self.pid, code)
            # What the leader left behind goes with it. The system gives the group's id to nobody
            # else while a member lives; if none does, the id was free only since this instant.
            self._kill_group()
        return self._exit

    def _kill_group(self) -> None:
        # macOS answers with PermissionError where only zombies are left.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def _await_group(self) -> None:
        # Bounded, because the dead are seen here until the system's first process has reaped them.
        deadline = time.monotonic() + _GROUP_GONE_TIMEOUT
        with suppress(ProcessLookupError, PermissionError):
            while time.monotonic() < deadline:
                os.killpg(self.pid, 0)
                time.sleep(0.01)  # noqa: TID251  nobody tells us when a grandchild is gone


def spawn(
    name: str,
    argv: Sequence[str],
    *,
    log_path: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: User | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
) -> Child:
    """Start a process in a session of its own, its output appended to `log_path`.

    On Linux it gets `death_signal` when the calling thread dies, by whatever means. `env` replaces
    our environment. Raises ConfigError if there is no such program.
    """
    program = shutil.which(argv[0])
    if program is None:
        raise ConfigError(f"cannot start {name}: there is no program {argv[0]!r}")
    with log_path.open("ab") as log:
        log_start = log.tell()
        process = subprocess.Popen(
            leashed(
                [str(Path(program).absolute()), *argv[1:]], death_signal=death_signal, user=user
            ),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=cwd,
            start_new_session=True,
        )
    return Child(name, process, log_path, log_start)


class Supervisor:
    """Starts named processes and, as a context manager, leaves none of them behind.

    Leaving the block, by whatever exception, stops them all. A caller that is to obey SIGTERM notes
    it in a handler, and leaves the block where it can (`stack.requests`).
    """

    def __init__(self, *, stop_timeout: float = 10.0) -> None:
        """Take the seconds that all processes together have for ending by themselves."""
        self._stop_timeout = stop_timeout
        self._children: dict[str, Child] = {}

    def start(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log_path: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Child:
        """Start a process under a name that no living process here has."""
        if name in self._children and self._children[name].is_alive:
            raise ValueError(f"a process named {name!r} is already running")
        with _interrupts_held():
            child = spawn(name, argv, log_path=log_path, env=env, cwd=cwd)
            self._children[name] = child
        return child

    def __getitem__(self, name: str) -> Child:
        """Return the process that was last started under this name."""
        return self._children[name]

    def exits(self) -> list[Exit]:
        """Return those that have ended, in the order of their start."""
        polled = (child.poll() for child in self._children.values())
        return [ended for ended in polled if ended is not None]

    def stop_all(self, timeout: float | None = None) -> list[Exit]:
        """Ask all to end at once, wait at most `timeout` seconds together, then kill what is left.

        May be repeated. A second Ctrl-C meanwhile cuts only the waiting short.
        """
        return self.stop(self._children, self._stop_timeout if timeout is None else timeout)

    def stop(
        self,
        names: Collection[str],
        timeout: float,
        *,
        is_urgent: Callable[[], bool] = lambda: False,
    ) -> list[Exit]:
        """Stop some, as `stop_all` does; names that never started are skipped.

        `is_urgent` is asked often meanwhile, and may cut the waiting short.
        """
        children = [self._children[name] for name in names if name in self._children]
        try:
            for child in children:
                child.terminate()
            self._await(children, timeout, is_urgent)
        finally:
            exits = self._kill(children)
        return exits

    def __enter__(self) -> Self:
        """Return the supervisor."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop all processes."""
        self.stop_all()

    def _await(
        self, children: Sequence[Child], timeout: float, is_urgent: Callable[[], bool]
    ) -> None:
        deadline = time.monotonic() + timeout
        for child in children:
            while child.is_alive and time.monotonic() < deadline and not is_urgent():
                child.wait(min(_LOOK, deadline - time.monotonic()))

    def _kill(self, children: Sequence[Child]) -> list[Exit]:
        with _interrupts_held():
            for child in children:
                child.kill()
            return [child.reap() for child in children]


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait until a process is both started and known, or ended."""
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
