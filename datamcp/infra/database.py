"""The connection to the SQL ledger: PostgreSQL or SQLite, by URL.

An engine is made on first use and forgotten in a forked child, so that no two processes share a
socket. Driver errors that mean "not there" become BackendUnavailable.
"""

import os
import select
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
from datamcp.infra.composure import undisturbed
from datamcp.infra.prepare import Preparer, prepare_often_used

_BUSY_TIMEOUT = 15.0  # seconds that SQLite waits for another writer
_WAL_TRIES = 300  # in that time
_CONNECT_TIMEOUT = 5  # seconds
# A network that is gone tells nobody: the system would wait for an answer for a quarter of an hour,
# and each lease would run out meanwhile. libpq's names; nothing on a Unix socket.
_NETWORK = {
    "keepalives_idle": 5,  # seconds until a server that is silent is asked
    "keepalives_interval": 2,  # seconds
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds until what was sent has arrived
}
RELAXED = "SET LOCAL synchronous_commit TO off; "
"""What comes before a statement of PostgreSQL's whose commit is not waited for."""
_UNLIMITED = 0  # connections, as SQLAlchemy's pool says it
_AUTOCOMMIT = "datamcp_autocommit"
_RELAXED = "datamcp_relaxed"
_PASSING = ("08", "40", "57P")  # SQLSTATE: no connection, to be repeated, shut down

Condition = ColumnElement[bool]
"""What a statement's WHERE holds. Modules that write no SQL take it, and rows, from here."""

__all__ = [
    "Condition",
    "Connection",
    "Database",
    "Row",
    "is_passing",
    "means_unavailable",
    "parse",
    "reason",
]

_databases: "weakref.WeakSet[Database]" = weakref.WeakSet()


class Database:
    """One database. Safe to share between threads, and to carry through a fork."""

    def __init__(self, url: str, *, pool_size: int = 5) -> None:
        """Take the URL and how many connections a process keeps; nothing is opened yet."""
        self.url = parse(url)
        self._pool_size = pool_size
        self._engine: Engine | None = None
        self._lasting: Engine | None = None
        self._preparer: Preparer | None = None
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
                if self.dialect == "postgresql":
                    self._preparer = prepare_often_used(self._engine)
                    event.listen(self._engine, "before_cursor_execute", _relax, retval=True)
            return self._engine

    @property
    def lasting(self) -> Engine:
        """Return this process's engine for transactions that stay open while a task runs.

        There are as many as tasks that run here, and nobody else waits for their connections: the
        renewal of the leases, for one, comes in time however many they are.
        """
        with self._lock:
            if self._lasting is None:
                self._lasting = _make_engine(self.url, _UNLIMITED)
            return self._lasting

    @property
    def preparer(self) -> Preparer | None:
        """Return what prepares statements on the connections of `engine`, if anything does."""
        return self._preparer

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Run several statements that commit together, or not at all.

        Raises BackendUnavailable if the database does not answer. A commit whose answer is lost
        raises it too: whether it took place is then not known (protocol R2).
        """
        with undisturbed(), self.translated(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def autocommit(self, *, is_relaxed: bool = False) -> Iterator[Connection]:
        """Run statements that commit each by itself: one round trip where one is enough.

        With `is_relaxed`, a commit is not waited for until it is on disk: a crash of the database
        may undo it. That is for what may be lost without harm, such as a claim (protocol R2).
        """
        with (
            undisturbed(),
            self.translated(),
            self.engine.connect() as connection,
            _each_commits(connection),
        ):
            if is_relaxed:
                with _relaxed(connection.execution_options(**{_RELAXED: True})):
                    yield connection
            else:
                yield connection

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn what a driver raises of a database that is away into BackendUnavailable."""
        try:
            yield
        except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as error:
            if not means_unavailable(error):
                raise
            raise BackendUnavailable(f"database {self.shown}", reason(error)) from error

    def close(self) -> None:
        """Close this process's connections; the next use opens new ones."""
        with self._lock:
            engines, self._engine, self._lasting = (self._engine, self._lasting), None, None
        for engine in filter(None, engines):
            engine.dispose()

    def forget(self) -> None:
        """Drop connections that belong to the parent process, without closing them."""
        self._lock = Lock()
        engines, self._engine, self._lasting = (self._engine, self._lasting), None, None
        for engine in filter(None, engines):
            engine.dispose(close=False)


@contextmanager
def _each_commits(connection: Connection) -> Iterator[None]:
    """Have each statement commit by itself during the block.

    PostgreSQL's driver is told so itself. What SQLAlchemy offers for it asks the server once more
    at the end; and where that fails, the pool never gets the place of the connection back.
    """
    if connection.dialect.name == "sqlite":
        connection.execution_options(**{_AUTOCOMMIT: True})
        yield
        return
    driver: Any = connection.connection.dbapi_connection
    driver.autocommit = True
    try:
        yield
    finally:
        if not (connection.invalidated or driver.closed):
            driver.autocommit = False


@contextmanager
def _relaxed(connection: Connection) -> Iterator[None]:
    """Do not wait for the disk in the block; PostgreSQL is told so with each statement."""
    if connection.dialect.name != "sqlite":
        yield
        return
    connection.exec_driver_sql("PRAGMA synchronous = NORMAL")
    try:
        yield
    finally:
        connection.exec_driver_sql("PRAGMA synchronous = FULL")


def _relax(
    _connection: Connection,
    _cursor: Any,
    statement: str,
    parameters: Any,
    context: Any,
    _executemany: bool,
) -> tuple[str, Any]:
    """Let one statement commit without waiting, in the round trip that it makes anyway."""
    if context is not None and context.execution_options.get(_RELAXED):
        statement = RELAXED + statement
    return statement, parameters


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


def is_passing(error: BaseException) -> bool:
    """Tell an error that the same statements may not meet again: the database went, or was busy."""
    if not isinstance(error, exc.DBAPIError):
        return False
    if isinstance(error.orig, sqlite3.OperationalError):
        return "locked" in str(error.orig)
    code = str(getattr(error.orig, "pgcode", None) or "")
    return error.connection_invalidated or code.startswith(_PASSING)


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
        connect_args={
            "connect_timeout": _CONNECT_TIMEOUT,
            "application_name": "datamcp",
            **_NETWORK,
        },
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
