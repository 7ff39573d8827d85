"""Statements that every task goes through, sent to the driver without SQLAlchemy in between.

SQLAlchemy writes them, once; what it does for each execution takes several times as long as the
driver's own part. So what it knows is kept: the text, the order of the parameters, and how values
are converted. They run on the connections of SQLAlchemy's pool, and are heard by its listeners.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Executable, exc

from datamcp.infra.composure import undisturbed
from datamcp.infra.database import RELAXED, Database
from datamcp.infra.prepare import Preparer

Row = tuple[Any, ...]
Convert = Callable[[Any], Any]


class Direct:
    """One statement, which returns rows. Safe to share between threads, and to carry through a fork.

    Its values are bound by name; it has no `IN` with a list of its own: see `among`.
    """

    def __init__(self, database: Database, statement: Any, *, locks: Sequence[Any] = ()) -> None:
        """Take the database and the statement; nothing is opened.

        `locks` are statements that lock what is to be locked before, in the same round trip. What
        waited for them sees what others have committed meanwhile. SQLite has one writer, and none.
        """
        self._database = database
        self._statement: Executable = statement
        self._locks: Sequence[Executable] = locks if database.dialect == "postgresql" else ()
        self._sent: _Sent | None = None
        self._sent_before: Sequence[_Sent] = ()

    def run(self, values: Mapping[str, Any], *, is_relaxed: bool = False) -> list[Row]:
        """Run it, and commit; `is_relaxed` as of `Database.autocommit`.

        Raises BackendUnavailable, and whatever the database has against it.
        """
        if is_relaxed and self._database.dialect == "sqlite":  # two more statements: see there
            with self._database.autocommit(is_relaxed=True) as connection:
                return self.run_on(connection, values)
        with undisturbed(), self._database.translated(), self._lent() as lent:
            return self._send(lent, lent.driver_connection, values, is_relaxed=is_relaxed)

    def run_on(
        self, connection: Connection, values: Mapping[str, Any], *, is_relaxed: bool = False
    ) -> list[Row]:
        """Run it in a transaction that has begun.

        With `is_relaxed`, the commit of that is not waited for; on SQLite it is.
        """
        lent, is_relaxed = connection.connection, is_relaxed and self._database.dialect != "sqlite"
        return self._send(lent, lent.driver_connection, values, is_relaxed=is_relaxed)

    @contextmanager
    def _lent(self) -> Iterator[Any]:
        """Have a connection of the pool's on which each statement commits by itself."""
        lent = self._lend()
        try:
            if self._database.dialect == "sqlite":  # it commits by itself unless told otherwise
                yield lent
                return
            driver: Any = lent.driver_connection
            driver.autocommit = True
            try:
                yield lent
            finally:
                if lent.is_valid and not driver.closed:
                    driver.autocommit = False
        finally:
            lent.close()

    def _lend(self) -> Any:
        engine = self._database.engine
        try:
            return engine.raw_connection()
        except engine.dialect.loaded_dbapi.Error as error:
            raise self._as_sqlalchemy(error, None, None, is_gone=False) from error

    def _send(
        self, lent: Any, driver: Any, values: Mapping[str, Any], *, is_relaxed: bool
    ) -> list[Row]:
        sent = self._sent or self._compile()
        parameters, cursor = sent.parameters(values), driver.cursor()
        statement, hooks = sent.text, self._database.engine.dispatch
        try:
            preparer = self._database.preparer
            if preparer is not None:
                statement = preparer.prepared(lent.info, cursor, statement) or statement
            statement = self._before(preparer, lent, cursor, values) + statement
            if is_relaxed:
                statement = RELAXED + statement
            for hook in hooks.before_cursor_execute:
                statement, parameters = hook(lent, cursor, statement, parameters, None, False)
            cursor.execute(statement, parameters)
            rows = sent.rows(cursor.fetchall(), cursor.description)
            for hook in hooks.after_cursor_execute:
                hook(lent, cursor, statement, parameters, None, False)
        except Exception as error:
            failure = self._failure(error, lent, cursor, statement, parameters)
            if failure is None:
                raise
            raise failure from error
        finally:
            cursor.close()
        return rows

    def _before(
        self, preparer: Preparer | None, lent: Any, cursor: Any, values: Mapping[str, Any]
    ) -> str:
        """Return what is sent in front of the statement: its locks, with their values in them."""
        text = ""
        for lock in self._sent_before:
            prepared = preparer and preparer.prepared(lent.info, cursor, lock.text)
            whole = cursor.mogrify(prepared or lock.text, lock.parameters(values)).decode()
            text += whole.replace("%", "%%") + "; "
        return text

    def _failure(
        self, error: Exception, lent: Any, cursor: Any, statement: str, parameters: Any
    ) -> Exception | None:
        """Return what SQLAlchemy makes of a driver's error, and give up a connection that is gone."""
        dialect = self._database.engine.dialect
        if not isinstance(error, dialect.loaded_dbapi.Error):
            return None
        is_gone = dialect.is_disconnect(error, lent, cursor)
        if is_gone:
            lent.invalidate(error)
        return self._as_sqlalchemy(error, statement, parameters, is_gone=is_gone)

    def _as_sqlalchemy(
        self, error: Exception, statement: str | None, parameters: Any, *, is_gone: bool
    ) -> Exception:
        dialect = self._database.engine.dialect
        failure: Exception = exc.DBAPIError.instance(
            statement,
            parameters,
            error,
            dialect.loaded_dbapi.Error,
            connection_invalidated=is_gone,
            dialect=dialect,
        )
        return failure

    def _compile(self) -> "_Sent":
        dialect = self._database.engine.dialect
        self._sent_before = [_Sent(lock, dialect) for lock in self._locks]
        self._sent = _Sent(self._statement, dialect)
        return self._sent


class _Sent:
    """What is sent for a statement, and how values are converted on the way, both ways."""

    def __init__(self, statement: Any, dialect: Any) -> None:
        compiled = statement.compile(dialect=dialect)
        self.text = str(compiled)
        self._order: Sequence[str] | None = compiled.positiontup
        binds = compiled.binds
        self._bind: dict[str, Convert] = {
            name: convert
            for name, bind in binds.items()
            if (convert := bind.type.dialect_impl(dialect).bind_processor(dialect))
        }
        self._fixed = self._converted(
            {
                name: bind.value
                for name, bind in binds.items()
                if not (bind.required or bind.callable)
            }
        )
        self._asked = {name: bind.callable for name, bind in binds.items() if bind.callable}
        self._types = [column.type.dialect_impl(dialect) for column in statement.exported_columns]
        self._dialect = dialect
        self._result: list[tuple[int, Convert]] | None = None

    def parameters(self, values: Mapping[str, Any]) -> Any:
        """Return the parameters as the driver takes them."""
        asked = {name: ask() for name, ask in self._asked.items()} if self._asked else {}
        named = {**self._fixed, **self._converted({**asked, **values})}
        return named if self._order is None else tuple([named[name] for name in self._order])

    def rows(self, found: Sequence[Row], description: Sequence[Any]) -> list[Row]:
        """Return rows with their values as Python has them."""
        if self._result is None:
            self._result = list(self._converts(description))
        return [_row(row, self._result) for row in found]

    def _converts(self, description: Sequence[Any]) -> Iterator[tuple[int, Convert]]:
        for place, (kind, column) in enumerate(zip(self._types, description, strict=True)):
            convert = kind.result_processor(self._dialect, column[1])
            if convert is not None:
                yield place, convert

    def _converted(self, values: Mapping[str, Any]) -> dict[str, Any]:
        converted = dict(values)
        for name, convert in self._bind.items():
            if name in converted:
                converted[name] = convert(converted[name])
        return converted


def _row(row: Row, converts: Sequence[tuple[int, Convert]]) -> Row:
    values = list(row)
    for place, convert in converts:
        values[place] = convert(values[place])
    return tuple(values)
