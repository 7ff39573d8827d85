"""Real workers in the background of a test: Celery's processes, and nothing of them left behind."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from datamcp.clock import SystemClock
from datamcp.config.text import child_environment
from datamcp.infra.processes import Child, Exit, Supervisor

_CELERY = (sys.executable, "-m", "celery", "-A", "datamcp")
_BEAT = (*_CELERY, "beat", "--loglevel", "INFO", "--pidfile", "")
_SIGNS = (" ready.", "beat: Starting")  # in the log of a process that does its work
_STEP = 0.05  # seconds between looks


class Worker:
    """One process in the background: a worker, or beat."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        supervisor: Supervisor,
        timeout: float,
    ) -> None:
        """Take what to run, and what ends it; `timeout` (s) is for a start."""
        self.name = name
        self.log_path = folder / f"{name}.log"
        self._argv = argv
        self._environment = environment
        self._supervisor = supervisor
        self._timeout = timeout
        self._offset = 0
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        """The id of its main process."""
        return self._started().pid

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._child is not None and self._child.is_alive

    def start(self) -> None:
        """Start it; return when it does its work.

        Raises AssertionError, with the end of its log, if it does not come up.
        """
        self._offset = self.log_path.stat().st_size if self.log_path.exists() else 0
        self._child = self._supervisor.start(
            self.name, self._argv, log_path=self.log_path, env=self._environment
        )
        self._await(_SIGNS, self._timeout)

    def log(self) -> str:
        """Return all that it has written since its last start."""
        if not self.log_path.exists():
            return ""
        return self.log_path.read_bytes()[self._offset :].decode(errors="replace")

    def wait_for_log(self, text: str, timeout: float = 30.0) -> None:
        """Wait up to `timeout` seconds until it has written a text; raises AssertionError."""
        self._await([text], timeout)

    def kill(self) -> Exit:
        """End it and its pool with SIGKILL, as a crash would; return when all are gone."""
        child = self._started()
        child.kill()
        return child.reap()

    def stop(self, timeout: float = 10.0) -> Exit:
        """Ask it to end after what it is doing; kill it after `timeout` seconds."""
        return self._started().stop(timeout)

    def restart(self) -> None:
        """Stop it if it runs, and start it again."""
        if self.is_alive:
            self.stop()
        self.start()

    def log_tail(self, lines: int = 40) -> str:
        """Return the last lines that it wrote."""
        return "\n".join(self.log().splitlines()[-lines:])

    def _started(self) -> Child:
        if self._child is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._child

    def _await(self, texts: Sequence[str], timeout: float) -> None:
        __tracebackhide__ = True
        clock, child = SystemClock(), self._started()
        deadline = clock.monotonic() + timeout
        while not any(text in self.log() for text in texts):
            ended = child.wait(_STEP)
            if ended is None and clock.monotonic() < deadline:
                continue
            if any(text in self.log() for text in texts):
                return
            what = f"{self.name} did not write {texts[0].strip()!r} in {timeout:g} s"
            reason = what if ended is None else str(ended)
            raise AssertionError(f"{reason}; its log ends with:\n{self.log_tail()}")


class Workers:
    """Starts workers that serve one installation: call it with an agent type, or `pipelines`.

    `workers("bench", concurrency=1, pool="prefork", options=(), timeout=60)` returns a Worker that
    is ready. `options` are further ones of `celery worker`.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str], supervisor: Supervisor) -> None:
        """Take where logs go, the installation's settings, and what ends the processes."""
        self._folder = folder
        self._environment = {
            **child_environment(settings),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }
        self._supervisor = supervisor
        self.started: list[Worker] = []

    def __call__(
        self,
        agent: str,
        *,
        concurrency: int = 1,
        pool: str = "prefork",
        options: Sequence[str] = (),
        timeout: float = 60.0,
    ) -> Worker:
        """Start a worker of one agent type, or of `pipelines`; return when it is ready.

        `pool` is prefork, threads or solo; `options` are further ones of `celery worker`. Raises
        AssertionError, with the end of its log, if it is not ready after `timeout` seconds.
        """
        settled = ("--concurrency", str(concurrency), "--pool", pool, *options)
        return self._start(agent, (*_CELERY, "worker", "--agent", agent, *settled), timeout)

    def beat(self, timeout: float = 60.0) -> Worker:
        """Start beat, which sends what falls due or was lost; return when it does its work."""
        return self._start("beat", _BEAT, timeout)

    def _start(self, name: str, argv: Sequence[str], timeout: float) -> Worker:
        __tracebackhide__ = True
        worker = Worker(
            f"{name}-{len(self.started) + 1}",
            argv,
            folder=self._folder,
            environment=self._environment,
            supervisor=self._supervisor,
            timeout=timeout,
        )
        self.started.append(worker)
        worker.start()
        return worker
