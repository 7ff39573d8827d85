"""What looks into a process while it works: a count of its SQL statements, and a profile.

Neither is on while figures are taken. A worker turns on what a file in its folder asks for.
"""

import cProfile
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from celery import signals
from sqlalchemy import Connection, Engine, event

COUNT = "benchmark.count"
PROFILE = "benchmark.profile"
"""Files that ask a worker to count, or to profile itself."""

STATEMENTS = "statements"
"""The file in which a worker counts: a line for each statement, and for each commit."""

POOL_PROFILE = "pool-*.prof"
MAIN_PROFILE = "main.prof"

_COMMIT = "= commit"
_WRITES = ("INSERT", "UPDATE", "DELETE", "WITH")
_BY_NAME = re.compile(r"EXECUTE datamcp_\d+.*")


@dataclass(frozen=True, slots=True)
class Statements:
    """What processes asked of a database. BEGIN and COMMIT count as statements, as they travel."""

    statements: int
    commits: int  # of something written


def attach() -> None:
    """Turn on what the current folder asks for; a worker calls it before it forks."""
    folder = Path.cwd()
    if (folder / COUNT).exists():
        _listen(folder / STATEMENTS)
    if (folder / PROFILE).exists():
        _profile_worker(folder)


@contextmanager
def counting(path: Path) -> Iterator[None]:
    """Count the statements of this process into a file, while the block runs."""
    stop = _listen(path)
    try:
        yield
    finally:
        stop()


def read(path: Path, mark: int = 0) -> Statements:
    """Return what was counted into a file since it had `mark` bytes."""
    lines = path.read_bytes()[mark:].splitlines() if path.exists() else []
    commits = sum(line == _COMMIT.encode() for line in lines)
    return Statements(len(lines) - commits, commits)


def _listen(path: Path) -> Callable[[], None]:
    """Write down every statement of every engine; return how to stop that."""
    file = path.open("ab", buffering=0)

    def write(*lines: str) -> None:
        file.write("".join(f"{line}\n" for line in lines).encode())

    def executed(
        _connection: Connection, cursor: Any, statement: str, _given: Any, context: Any, _many: Any
    ) -> None:
        words = " ".join(_told(statement, context).split())
        is_commit = _is_autocommit(cursor.connection) and words.upper().startswith(_WRITES)
        write(words, *([_COMMIT] if is_commit else []))

    def committed(connection: Connection) -> None:
        driver = connection.connection.dbapi_connection
        if isinstance(driver, sqlite3.Connection):
            if driver.in_transaction:  # its BEGIN is a statement like any other
                write("COMMIT", _COMMIT)
        elif driver is not None and driver.info.transaction_status:
            write("BEGIN", "COMMIT", _COMMIT)

    def stop() -> None:
        event.remove(Engine, "after_cursor_execute", executed)
        event.remove(Engine, "commit", committed)
        file.close()

    event.listen(Engine, "after_cursor_execute", executed)
    event.listen(Engine, "commit", committed)
    return stop


def _told(statement: str, context: Any) -> str:
    """Return a statement, with what stands behind its name if it was prepared."""
    original = "" if context is None else context.statement
    return _BY_NAME.sub(lambda _match: f"EXECUTE {original}", statement)


def _is_autocommit(driver: Any) -> bool:
    if isinstance(driver, sqlite3.Connection):
        return not driver.in_transaction
    return bool(driver.autocommit)


def _profile_worker(folder: Path) -> None:
    """Profile the main process while it consumes, and each process of the pool."""
    profile = cProfile.Profile()

    def stop(path: Path) -> None:
        profile.disable()
        profile.dump_stats(path)

    # Kept alive by the signals, which would hold them weakly.
    def start(**_fields: object) -> None:
        profile.enable()

    def stop_main(**_fields: object) -> None:
        stop(folder / MAIN_PROFILE)

    def stop_pool(**_fields: object) -> None:
        stop(folder / POOL_PROFILE.replace("*", str(os.getpid())))

    signals.worker_ready.connect(start, weak=False)
    signals.worker_shutting_down.connect(stop_main, weak=False)
    signals.worker_process_init.connect(start, weak=False)
    signals.worker_process_shutdown.connect(stop_pool, weak=False)
