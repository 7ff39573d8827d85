"""The connection to the SQL ledger: PostgreSQL or SQLite, by URL.

An engine is made on first use and forgotten in a forked child, so that no two processes share a
socket. Driver errors that mean "not there" become BackendUnavailable.
"""

import os
import select
import signal
import sqlite3
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Lock
from typing import Any

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    Row,
    create_engine,
    event,
    exc,
    make_url,
)

from datamcp.errors import BackendUnavailable, ConfigError

_BUSY_TIMEOUT = 15.0  # seconds that SQLite waits for another writer
_WAL_TRIES = 300  # in that time
_CONNECT_TIMEOUT = 5  # seconds
_AUTOCOMMIT = "datamcp_autocommit"
_DISTURBING = {signal.SIGTERM, signal.SIGUSR1}  # a pool's: end the process; its time is up

Condition = ColumnElement[bool]
"""What a statement's WHERE holds. Modules that write no SQL take it, and rows, from here."""

__all__ = ["Condition", "Connection", "Database", "Row", "means_unavailable", "parse", "reason"]

_databases: "weakref.WeakSet[Database]" = weakref.WeakSet()


class Database:
    """One database. Safe to share between threads, and to carry through a fork."""

    def __init__(self, url: str, *, pool_size: int = 5) -> None:
        """Take the URL and how many connections a process keeps; nothing is opened yet."""
        self.url = parse(url)
        self._pool_size = pool_size
        self._engine: Engine | None = None
        self._lock = Lock()
        _databases.add(self)

    @property
    def dialect(self) -> str:
        """Return `postgresql` or `sqlite`."""
        return self.url.get_backend_name()

    @property
    def shown(self) -> str:
        """Return the URL without its password and driver."""
        return _shown(self.url)

    @property
    def file(self) -> Path | None:
        """Return where SQLite keeps it; None for a server, or in memory."""
        is_file = self.dialect == "sqlite" and self.url.database not in {None, "", ":memory:"}
        return Path(str(self.url.database)) if is_file else None

    @property
    def engine(self) -> Engine:
        """Return this process's engine."""
        with self._lock:
            if self._engine is None:
                self._engine = _make_engine(self.url, self._pool_size)
            return self._engine

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Run several statements that commit together, or not at all.

        Raises BackendUnavailable if the database does not answer. A commit whose answer is lost
        raises it too: whether it took place is then not known (protocol R2).
        """
        with _undisturbed(), self._translated(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def autocommit(self) -> Iterator[Connection]:
        """Run statements that commit each by itself: one round trip where one is enough."""
        with _undisturbed(), self._translated(), self.engine.connect() as connection:
            yield connection.execution_options(**self._autocommit_options())

    def _autocommit_options(self) -> dict[str, Any]:
        if self.dialect == "sqlite":
            return {_AUTOCOMMIT: True}
        return {"isolation_level": "AUTOCOMMIT"}

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as error:
            if not means_unavailable(error):
                raise
            raise BackendUnavailable(f"database {self.shown}", reason(error)) from error

    def close(self) -> None:
        """Close this process's connections; the next use opens new ones."""
        with self._lock:
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()

    def forget(self) -> None:
        """Drop connections that belong to the parent process, without closing them."""
        self._lock = Lock()
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose(close=False)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let a signal wait for the end of the block, if its handler raises an exception here.

    Between an UPDATE … RETURNING and its row, SQLite holds its lock. What has the cursor is then in
    the traceback, and as long as anybody has that, nobody can write.
    """
    held = signal.pthread_sigmask(signal.SIG_BLOCK, _DISTURBING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def parse(url: str) -> URL:
    """Return a database URL, with the driver that we use.

    Raises ConfigError for text that is no URL, or for another database.
    """
    try:
        parsed = make_url(url)
    except exc.ArgumentError as error:
        raise ConfigError("storage.database_url is not a database URL") from error
    match parsed.get_backend_name():
        case "postgresql" | "postgres":
            return parsed.set(drivername="postgresql+psycopg2")
        case "sqlite":
            return parsed.set(drivername="sqlite+pysqlite")
        case other:
            message = f"storage.database_url: {other!r} is not supported; use postgresql or sqlite"
            raise ConfigError(message)


def _shown(url: URL) -> str:
    return url.set(drivername=url.get_backend_name()).render_as_string(hide_password=True)


def reason(error: exc.SQLAlchemyError) -> str:
    """Return a driver's complaint in one line."""
    origin = getattr(error, "orig", None) or error
    lines = [line.strip() for line in str(origin).splitlines() if line.strip()]
    return lines[0] if lines else type(origin).__name__


def means_unavailable(error: exc.SQLAlchemyError) -> bool:
    """Tell an absent or overloaded database from a statement that it refused."""
    if isinstance(error, exc.DBAPIError) and isinstance(error.orig, sqlite3.OperationalError):
        text = str(error.orig)
        return any(word in text for word in ("locked", "unable to open", "disk", "readonly"))
    return True


def _make_engine(url: URL, pool_size: int) -> Engine:
    if url.get_backend_name() == "sqlite":
        return _make_sqlite(url, pool_size)
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=_CONNECT_TIMEOUT * 2,
        pool_pre_ping=False,
        pool_use_lifo=True,
        connect_args={"connect_timeout": _CONNECT_TIMEOUT, "application_name": "datamcp"},
    )
    event.listen(engine, "checkout", _refuse_dead)
    return engine


def _refuse_dead(connection: Any, _record: object, _proxy: object) -> None:
    # A ping without the round trip: an idle server speaks only to say that it is going. The pool
    # then opens another connection.
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    if poll.poll(0):
        raise exc.DisconnectionError("the server has closed an idle connection")


def _make_sqlite(url: URL, pool_size: int) -> Engine:
    if url.database and url.database != ":memory:":
        try:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BackendUnavailable(f"database {_shown(url)}", str(error)) from error
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        connect_args={"timeout": _BUSY_TIMEOUT, "check_same_thread": False},
    )
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # The driver's own BEGINs come too late for us (bugs.python.org/issue9924): we send them.
    connection.isolation_level = None
    _use_wal(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _use_wal(connection: sqlite3.Connection) -> None:
    # While processes open a new file together, this fails at once: the busy timeout does not hold
    # for a change of the mode.
    for _ in range(_WAL_TRIES):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            Event().wait(_BUSY_TIMEOUT / _WAL_TRIES)
        else:
            return
    connection.execute("PRAGMA journal_mode = WAL")


def _begin_sqlite(connection: Connection) -> None:
    # IMMEDIATE takes the write lock at once: a transaction that read first could not wait for it.
    if not connection.get_execution_options().get(_AUTOCOMMIT):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _forget_all() -> None:
    for database in list(_databases):
        database.forget()


os.register_at_fork(after_in_child=_forget_all)
