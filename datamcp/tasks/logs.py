"""What a running task logs, kept with it: the last resort of whoever looks for a reason at night.

A handler on the root of Python's logs sees every record; it keeps those that are emitted in the
context of an attempt, whatever library emits them, and what is printed, which Celery logs. So many
lines of an attempt are kept, and so much of each. They are written together, at most once a second
and at the end.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock

from datamcp.clock import Clock
from datamcp.errors import BackendUnavailable
from datamcp.tasks.log_ledger import LogLedger, NewLine
from datamcp.tasks.soon import Soon
from datamcp.telemetry import Telemetry

MOST_LINES = 1000  # of one attempt
LONGEST = 4000  # characters of a line
PAUSE = 1.0  # seconds between two writes

_SEEN = "datamcp_seen"
_CELERY_TASKS = (
    "celery.task"  # the log of Celery's `get_task_logger`, which it cuts off from the root
)


class AttemptLog:
    """The lines of one attempt. Safe to share between threads."""

    def __init__(
        self, task_id: str, fence: str, attempt: int, *, clock: Clock, write: "TaskLogs"
    ) -> None:
        """Take whose lines they are, and who writes them."""
        self._claim = (task_id, fence, attempt)
        self._clock = clock
        self._logs = write
        self._lock = Lock()
        self._waiting: list[tuple[float, str, str]] = []
        self._count = 0
        self._written = 0
        self._is_due = False

    def add(self, level: str, message: str) -> None:
        """Take a line; it is written soon."""
        with self._lock:
            self._count += 1
            if self._count > MOST_LINES:
                return
            self._waiting.append((self._clock.monotonic(), level, _kept(message)))
            if self._is_due:
                return
            self._is_due = True
        self._logs.soon(self.flush)

    def flush(self) -> None:
        """Write what waits; what can't be written now stays."""
        with self._lock:
            self._is_due = False
            self._write()

    def close(self) -> None:
        """Write what waits, and how many lines were too many; what can't be written is lost."""
        with self._lock:
            dropped = self._count - MOST_LINES
            if dropped > 0:
                message = f"{dropped} more lines were not kept"
                self._waiting.append((self._clock.monotonic(), "WARNING", message))
            self._write()
            lost, self._waiting = len(self._waiting), []
            self._count = MOST_LINES
        if lost:
            self._logs.lose(self._claim[0], lost)

    def _write(self) -> None:
        if not self._waiting:
            return
        now = self._clock.monotonic()
        lines = [
            NewLine(self._written + number, now - at, level, message)
            for number, (at, level, message) in enumerate(self._waiting)
        ]
        if self._logs.write(*self._claim, lines):
            self._written += len(lines)
            self._waiting = []


_current: ContextVar[AttemptLog | None] = ContextVar("datamcp_log", default=None)


class TaskLogs(logging.Handler):
    """Keeps what attempts log."""

    def __init__(self, ledger: LogLedger, *, clock: Clock, telemetry: Telemetry) -> None:
        """Take where lines are kept."""
        super().__init__(logging.INFO)
        self.setFormatter(logging.Formatter("%(message)s"))
        self._ledger = ledger
        self._clock = clock
        self._telemetry = telemetry
        self._soon = Soon()

    @contextmanager
    def of(self, task_id: str, fence: str, attempt: int) -> Iterator[AttemptLog]:
        """Keep what is logged in this context during the block, as that of an attempt."""
        for name in (None, _CELERY_TASKS):
            log = logging.getLogger(name)
            if self not in log.handlers:
                log.addHandler(self)
        kept = AttemptLog(task_id, fence, attempt, clock=self._clock, write=self)
        token = _current.set(kept)
        try:
            yield kept
        finally:
            _current.reset(token)
            kept.close()

    def write_now(self) -> None:
        """Write what the attempt of this context has logged, before anybody learns of its end."""
        log = _current.get()
        if log is not None:
            log.flush()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record, if it was made by an attempt."""
        log = _current.get()
        if log is None or not _is_of_task(record.name) or hasattr(record, _SEEN):
            return
        setattr(record, _SEEN, True)  # it may come by both of our places
        try:
            message = self.format(record)
            if (
                message.strip()
            ):  # of what is printed, Celery logs each part, with the blanks between
                log.add(record.levelname, message)
        except Exception:  # noqa: BLE001  a record that can't be shown must not end a task
            self.handleError(record)

    def soon(self, flush: Callable[[], None]) -> None:
        """Have lines written in a moment."""
        self._soon.after(PAUSE, flush)

    def write(self, task_id: str, fence: str, attempt: int, lines: list[NewLine]) -> bool:
        """Write lines; False if the database is away: no task is held up by that."""
        try:
            self._ledger.write(task_id, fence, attempt, lines)
        except BackendUnavailable:
            return False
        return True

    def lose(self, task_id: str, lines: int) -> None:
        """Tell of lines that could not be written."""
        self._telemetry.emit("task.log_lost", task_id=task_id, lines=lines)


def _is_of_task(name: str) -> bool:
    """Tell whether a log is one that a task's code writes to, and not Celery's own or ours."""
    first, _, rest = name.partition(".")
    if first == "celery":
        return rest.partition(".")[0] in {"task", "redirected"}
    return name != "datamcp"


def _kept(message: str) -> str:
    """Return a line as it is kept: what no database takes is left out, and what is too long."""
    text = message.replace("\0", "").encode(errors="replace").decode()
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
