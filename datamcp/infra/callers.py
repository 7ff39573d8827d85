"""A connection of the caller's: whether it will do, and what happens once it has committed.

SQLAlchemy announces a commit before it takes place, and tells nobody afterwards. So the commit of
the one connection that somebody enqueued on is followed here, by a method of SQLAlchemy's own that
2.0 and 2.1 share. Were it gone, nothing would be lost: the rows are there, and the sweep sends them.
"""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Union
from weakref import WeakKeyDictionary, WeakSet

from sqlalchemy import Connection, Engine, text

from datamcp.errors import TaskError
from datamcp.infra.database import Database

if TYPE_CHECKING:
    from sqlalchemy.orm import Session, scoped_session

CallersConnection = Union[Connection, "Session", "scoped_session[Any]"]
"""What a caller may hand in: SQLAlchemy's connection, or a session that has one."""

_WANTED = "connection must be a Connection or a Session of SQLAlchemy"
_ENDS = ("_commit_impl", "_commit_twophase_impl")
_UNDONE = ("_rollback_impl", "_rollback_twophase_impl")

# Which server and database this is, and which table the name `tasks` means there.
_WHERE = text(
    "SELECT pg_postmaster_start_time(), to_regclass('tasks')::oid, "
    "(SELECT oid FROM pg_database WHERE datname = current_database())"
)


class Callers:
    """Knows which connections of callers lead to our database. Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        """Take our database."""
        self._database = database
        self._known: WeakSet[Engine] = WeakSet()

    def connection(self, given: CallersConnection) -> Connection:
        """Return the connection that a caller means, with its transaction begun.

        Raises TaskError unless it leads to our database, and is in a transaction that its caller
        commits.
        """
        connection = _unwrapped(given)
        if connection.closed:
            raise TaskError("connection is closed")
        if None in (connection.get_execution_options().get("schema_translate_map") or {}):
            raise TaskError("connection has a schema_translate_map that moves the ledger's tables")
        self._require_ours(connection)
        self._require_transaction(connection)
        return connection

    def _require_ours(self, connection: Connection) -> None:
        if connection.engine in self._known:
            return
        is_ours = connection.engine in {self._database.engine, self._database.lasting}
        if not is_ours and connection.dialect.name == self._database.dialect:
            with self._database.translated():
                is_ours = self._leads_to_ours(connection)
        if not is_ours:
            shown = connection.engine.url.render_as_string(hide_password=True)
            raise TaskError(
                f"connection leads to {shown}, and not to the ledger's database, "
                f"{self._database.shown}"
            )
        self._known.add(connection.engine)

    def _leads_to_ours(self, connection: Connection) -> bool:
        if self._database.dialect == "sqlite":
            file = connection.exec_driver_sql("PRAGMA database_list").all()[0][2]
            ours = self._database.file
            return bool(file) and ours is not None and ours.exists() and Path(file).samefile(ours)
        with self._database.autocommit() as own:
            return own.execute(_WHERE).one() == connection.execute(_WHERE).one()

    def _require_transaction(self, connection: Connection) -> None:
        if not connection.in_transaction():
            connection.begin()
        driver: Any = connection.connection.dbapi_connection
        if connection.dialect.name == "sqlite":
            is_autocommit = not (driver.in_transaction or _begun_by_driver(connection, driver))
        else:
            is_autocommit = driver.autocommit is True
        if is_autocommit:
            raise TaskError(
                "connection is in autocommit mode; enqueue in a transaction, or without `connection`"
            )


def _begun_by_driver(connection: Connection, driver: Any) -> bool:
    """Do what SQLite's driver would do before the first INSERT, if it would: a savepoint is none."""
    if driver.isolation_level is None or getattr(driver, "autocommit", None) is True:
        return False
    connection.exec_driver_sql("BEGIN")
    return True


def _unwrapped(given: CallersConnection) -> Connection:
    """Return a connection, or that of a session."""
    if isinstance(given, Connection):
        return given
    orm = sys.modules.get("sqlalchemy.orm")  # whoever has a session has imported it
    if orm is not None and isinstance(given, orm.Session | orm.scoped_session):
        of_session: Connection = given.connection()
        return of_session
    kind = type(given)
    raise TaskError(
        f"{_WANTED}, got {kind.__module__}.{kind.__qualname__}: a driver's own connection can't "
        "tell when it commits"
    )


class AfterCommit:
    """Acts on what was noted for a connection, once its transaction is committed.

    What is noted in a transaction that is rolled back is forgotten. A savepoint that is rolled
    back goes unnoticed, and so does a COMMIT that the database answers with a rollback: whoever
    acts looks at what is there. Safe to share between threads.
    """

    def __init__(self, act: Callable[[list[str]], None]) -> None:
        """Take what is done with all notes of a transaction, in the thread that commits."""
        self._act = act
        self._notes: WeakKeyDictionary[Connection, list[str]] = WeakKeyDictionary()
        self._lock = Lock()

    def note(self, connection: Connection, notes: Iterable[str]) -> None:
        """Note something for the transaction that a connection is in."""
        with self._lock:
            known = self._notes.get(connection)
            if known is None:
                known = self._notes[connection] = []
                self._follow(connection)
        known.extend(notes)

    def _follow(self, connection: Connection) -> None:
        for name in (*_ENDS, *_UNDONE):
            method = getattr(connection, name, None)
            if method is not None:
                setattr(connection, name, self._followed(connection, method, name in _ENDS))

    def _followed(
        self, connection: Connection, method: Callable[..., None], is_commit: bool
    ) -> Callable[..., None]:
        def followed(*args: Any) -> None:
            try:
                method(*args)
            except BaseException:
                self._take(connection)
                raise
            notes = self._take(connection)
            if notes and is_commit:
                self._act(notes)

        return followed

    def _take(self, connection: Connection) -> list[str]:
        known = self._notes[connection]
        taken = known.copy()
        known.clear()
        return taken
