"""Starting a stack in the background, from a command that ends once the stack is ready."""

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event

from datamcp.config.stack import is_running
from datamcp.errors import ConfigError, StackError
from datamcp.stack import logs
from datamcp.stack.lock import already_runs
from datamcp.stack.record import StackRecord, read_running
from datamcp.stack.restarts import error_of

_LOOK = 0.1  # seconds
_END_TIMEOUT = 60.0  # seconds


class DetachedStack:
    """A stack that runs in a session of its own: no terminal and no parent ends it."""

    def __init__(
        self, folder: Path, options: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        """Start `datamcp up` with these options.

        Raises ConfigError if a stack already runs from the folder, or it can't be written to.
        """
        if is_running(folder):
            raise already_runs(folder)
        self._folder = folder
        self.log = folder / "logs" / logs.STACK_LOG
        try:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            logs.rename(self.log)
            output = self.log.open("ab")
        except OSError as error:
            message = f"system.state_dir: {folder} can't be written to: {error.strerror}"
            raise ConfigError(message) from error
        with output:
            self._log_start = output.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "datamcp", "up", *options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,
            )

    def await_ready(self, is_interrupted: Callable[[], bool]) -> StackRecord | None:
        """Wait until it is ready; return its record, or None if it was ended by an interrupt.

        Raises StackError with what it said, and with its exit code, if its start fails.
        """
        while not is_interrupted():
            code = self._process.poll()
            if code is not None:
                raise StackError(self._error(code), code if code > 0 else 1)
            record = read_running(self._folder)
            if record is not None and record.pid == self._process.pid and record.ready_at:
                return record
            Event().wait(_LOOK)
        self._process.terminate()
        self._process.wait(_END_TIMEOUT)
        return None

    def _error(self, code: int) -> str:
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            told = error_of(log.read().decode(errors="replace"))
        return told or f"the stack did not start (exit code {code}); its log is {self.log}"
