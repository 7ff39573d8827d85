"""What is kept of what a task logs: of its own context, within bounds, whatever happens."""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from datamcp.clock import SystemClock
from datamcp.errors import BackendUnavailable
from datamcp.tasks import logs
from datamcp.tasks.log_ledger import NewLine
from datamcp.tasks.logs import LONGEST, MOST_LINES, TaskLogs
from datamcp.telemetry import Telemetry


class Kept:
    """A ledger that remembers, or is away."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.lines: list[tuple[str, NewLine]] = []
        self.is_away = False

    def write(self, task_id: str, _fence: str, _attempt: int, lines: Sequence[NewLine]) -> None:
        """Keep lines."""
        if self.is_away:
            raise BackendUnavailable("database", "away")
        self.lines += [(task_id, line) for line in lines]

    def of(self, task_id: str) -> list[str]:
        """Return the messages of a task."""
        return [line.message for owner, line in self.lines if owner == task_id]


class Situation:
    """A handler, what it keeps, and what it tells."""

    def __init__(self) -> None:
        """Put them together."""
        self.kept, self.told = Kept(), []
        telemetry = Telemetry(lambda event, fields: self.told.append((event, dict(fields))))
        ledger: Any = self.kept
        self.logs = TaskLogs(ledger, clock=SystemClock(), telemetry=telemetry)


@pytest.fixture
def here(caplog: pytest.LogCaptureFixture) -> Any:
    """Return a situation; no handler is left behind."""
    caplog.set_level(logging.INFO)
    situation = Situation()
    yield situation
    for name in (None, "celery.task"):
        logging.getLogger(name).removeHandler(situation.logs)


def test_what_was_logged_is_there_before_an_end_is_known(
    here: Situation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sees a result sees all lines before it; outside of attempts there is nothing."""
    monkeypatch.setattr(logs, "PAUSE", 3600)
    with here.logs.of("one", "fence", 1):
        logging.getLogger().info("said")
        here.logs.write_now()
        assert here.kept.of("one") == ["said"]
    here.logs.write_now()
    assert here.kept.of("one") == ["said"]


def test_keeps_what_is_logged_in_its_context(here: Situation) -> None:
    """Any library's records, and nobody else's."""
    log = logging.getLogger("some.library")
    log.info("before")
    with here.logs.of("t", "f", 1):
        log.info("hello %s", "there")
        log.debug("too fine")
    log.info("after")
    assert here.kept.of("t") == ["hello there"]


@pytest.mark.parametrize(
    ("name", "is_kept"),
    [
        ("shop.orders", True),
        ("datamcp.task.shop.order", True),
        ("datamcp", False),
        ("celery", False),
        ("celery.app.trace", False),
        ("celery.redirected", True),
        ("celery.task", True),
        ("celery.tasks", False),
    ],
)
def test_only_the_tasks_own_logs_are_kept(here: Situation, name: str, is_kept: bool) -> None:
    """What Celery and we say of it stands elsewhere."""
    with here.logs.of("t", "f", 1):
        logging.getLogger(name).warning("word")
    assert here.kept.of("t") == (["word"] if is_kept else [])


def test_a_traceback_is_part_of_its_line(here: Situation) -> None:
    """That is what one looks for."""
    with here.logs.of("t", "f", 1):
        try:
            {}["gone"]
        except KeyError:
            logging.getLogger("x").exception("it failed")
    (message,) = here.kept.of("t")
    assert message.startswith("it failed\nTraceback")
    assert message.endswith("KeyError: 'gone'")


def test_celery_task_loggers_are_heard(here: Situation) -> None:
    """Celery cuts them off from the root."""
    from celery.utils.log import get_task_logger

    cut = logging.getLogger("celery.task")
    cut.propagate, before = False, cut.propagate
    try:
        with here.logs.of("t", "f", 1):
            get_task_logger("shop.orders").warning("sold out")
    finally:
        cut.propagate = before
    assert here.kept.of("t") == ["sold out"]


def test_so_many_lines_are_kept(here: Situation) -> None:
    """And how many were not is the last line."""
    with here.logs.of("t", "f", 1):
        for number in range(MOST_LINES + 7):
            logging.getLogger("x").info("%d", number)
    found = here.kept.of("t")
    assert found[:-1] == [str(number) for number in range(MOST_LINES)]
    assert found[-1] == "7 more lines were not kept"
    assert [line.line for _, line in here.kept.lines] == list(range(MOST_LINES + 1))


def emit(here: Situation, message: str, *arguments: object) -> None:
    """Hand a record to the handler alone: nobody who shows it has to bear its contents."""
    record = logging.LogRecord("x", logging.INFO, __file__, 1, message, arguments, None)
    here.logs.emit(record)


def test_lines_are_as_databases_take_them(here: Situation) -> None:
    """Cut, without NUL and lone surrogates."""
    with here.logs.of("t", "f", 1):
        emit(here, "a\0b\ud800c")
        emit(here, "y" * 10_000)
    first, second = here.kept.of("t")
    assert first == "ab?c"
    assert (len(second), second[-1]) == (LONGEST, "…")


def test_a_record_that_cannot_be_shown_ends_no_task(
    here: Situation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its arguments do."""
    monkeypatch.setattr(logging, "raiseExceptions", False)
    with here.logs.of("t", "f", 1):
        emit(here, "%d", "no number")
        emit(here, "next")
    assert here.kept.of("t") == ["next"]


def test_a_database_that_is_away_holds_nothing_up(here: Situation) -> None:
    """What waits is written when it is back; what is left at the end is told of."""
    with here.logs.of("t", "f", 1) as log:
        here.kept.is_away = True
        logging.getLogger("x").info("one")
        log.flush()
        here.kept.is_away = False
        logging.getLogger("x").info("two")
        log.flush()
        assert here.kept.of("t") == ["one", "two"]
        assert [line.line for _, line in here.kept.lines] == [0, 1]
        here.kept.is_away = True
        logging.getLogger("x").info("three")
    assert here.told == [("task.log_lost", {"task_id": "t", "lines": 1})]


def test_lines_of_a_long_task_are_seen_soon(
    here: Situation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only at its end."""
    monkeypatch.setattr(logs, "PAUSE", 0.0)
    with here.logs.of("t", "f", 1):
        logging.getLogger("x").info("under way")
        assert here.kept.of("t") == ["under way"]


def test_tasks_side_by_side_are_told_apart(here: Situation) -> None:
    """Each thread has the attempt that it makes."""

    def work(name: str) -> None:
        with here.logs.of(name, "f", 1):
            for _ in range(20):
                logging.getLogger("x").info(name)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, "abcd"))
    assert {name: set(here.kept.of(name)) for name in "abcd"} == {name: {name} for name in "abcd"}
    assert {len(here.kept.of(name)) for name in "abcd"} == {20}
