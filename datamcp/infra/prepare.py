"""Lets PostgreSQL plan a statement once for each connection, not once for each task.

To parse and plan one of our statements takes the server several times as long as to run it.
psycopg2 never prepares. So a statement that asks for it (`PREPARED`), and comes often, is prepared
by SQL (`PREPARE`) on the connection that it comes on, and run by name from then on (`EXECUTE`).

No others are: a parameter whose type PostgreSQL can't tell from its place becomes text, and one that
stands alone in a SELECT would come back as that. A statement that can't be prepared is sent as it
is. So is every statement where a pooler stands between us and the server: it may give each
transaction another session, which would not know the name.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from sqlalchemy import Connection, Engine, event

PREPARED = {"datamcp_prepared": True}
"""The execution options of a statement that is to be prepared."""

OFTEN = 3  # times that a process sends a statement before it is prepared
MOST = 100  # statements that are prepared

_SESSION = "datamcp_prepared"
_PLACEHOLDER = re.compile(r"%\((\w+)\)s|%%")

Sent = tuple[str, Any]
"""A statement and its parameters, as the driver takes them."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is prepared for a statement, and which parameters it takes, in order."""

    body: str
    names: tuple[str, ...]

    @classmethod
    def of(cls, statement: str) -> "Plan":
        """Return the plan of a statement with named parameters of psycopg2's form."""
        names: list[str] = []

        def number(match: re.Match[str]) -> str:
            if match[1] is None:
                return "%"
            if match[1] not in names:
                names.append(match[1])
            return f"${names.index(match[1]) + 1}"

        return cls(_PLACEHOLDER.sub(number, statement), tuple(names))

    def execute(self, name: str) -> str:
        """Return the statement that runs it under a name, with the parameters as they were."""
        arguments = ", ".join(f"%({each})s" for each in self.names)
        return f"EXECUTE {name} ({arguments})" if arguments else f"EXECUTE {name}"


@dataclass(slots=True)
class _Session:
    """What is prepared on one connection: what to send for each statement."""

    executes: dict[str, str] = field(default_factory=dict)
    names: int = 0

    def new_name(self) -> str:
        """Return a name that was never tried: a try that was cut short may have succeeded."""
        self.names += 1
        return f"datamcp_{self.names}"


def prepare_often_used(engine: Engine) -> "Preparer":
    """Prepare what comes often on the connections of an engine of PostgreSQL's."""
    preparer = Preparer()
    event.listen(engine, "connect", _begin_session)
    event.listen(engine, "before_cursor_execute", preparer.rewrite, retval=True)
    return preparer


class Preparer:
    """Counts the statements of a process, and rewrites those that come often."""

    def __init__(self) -> None:
        """Begin with none."""
        self._seen: Counter[str] = Counter()
        self._plans: dict[str, Plan | None] = {}
        self._lock = Lock()

    def rewrite(
        self,
        connection: Connection,
        cursor: Any,
        statement: str,
        parameters: Any,
        context: Any,
        executemany: bool,
    ) -> Sent:
        """Return what is sent in place of a statement."""
        is_wanted = context is not None and context.execution_options.get("datamcp_prepared")
        if executemany or not is_wanted:
            return statement, parameters
        return self.prepared(connection.info, cursor, statement) or statement, parameters

    def prepared(self, info: Mapping[Any, Any], cursor: Any, statement: str) -> str | None:
        """Return what runs a statement by name on a connection; None if it is sent as it is.

        `info` is what SQLAlchemy keeps with the connection.
        """
        session: _Session | None = info.get(_SESSION)
        if session is None:
            return None
        return session.executes.get(statement) or self._prepare(session, cursor, statement)

    def _prepare(self, session: _Session, cursor: Any, statement: str) -> str | None:
        """Prepare a statement that comes often; None if this one is sent as it is."""
        plan = self._plan(statement)
        if plan is None:
            return None
        name = session.new_name()
        error = _try(cursor, f"PREPARE {name} AS {plan.body}")
        if error is not None:
            if isinstance(error, cursor.connection.ProgrammingError):
                self._plans[statement] = None  # it can't be prepared, here or elsewhere
            return None
        session.executes[statement] = plan.execute(name)
        return session.executes[statement]

    def _plan(self, statement: str) -> Plan | None:
        if statement in self._plans:
            return self._plans[statement]
        with self._lock:
            self._seen[statement] += 1
            if self._seen[statement] < OFTEN or len(self._plans) >= MOST:
                return None
            plan = Plan.of(statement)
            self._plans[statement] = plan
            return plan


def _try(cursor: Any, statement: str) -> Exception | None:
    """Run a statement, and return what went wrong; the transaction goes on as before.

    If the connection itself is lost, the statement that comes next will say so.
    """
    driver = cursor.connection
    try:
        if driver.autocommit:
            cursor.execute(statement)
        else:
            _run_apart(cursor, statement)
    except driver.Error as error:
        failure: Exception = error
        return failure
    return None


def _run_apart(cursor: Any, statement: str) -> None:
    cursor.execute("SAVEPOINT datamcp_prepare")
    try:
        cursor.execute(statement)
    except cursor.connection.Error:
        cursor.execute("ROLLBACK TO SAVEPOINT datamcp_prepare")
        raise
    cursor.execute("RELEASE SAVEPOINT datamcp_prepare")


def _begin_session(driver: Any, record: Any) -> None:
    """Let statements be prepared on a new connection, unless it leads to a pooler.

    The server tells the driver the number of its process when a session begins. A pooler makes
    one up, since the process changes.
    """
    before = driver.autocommit
    driver.autocommit = True
    try:
        with driver.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            (pid,) = cursor.fetchone()
    finally:
        driver.autocommit = before
    if pid == driver.info.backend_pid:
        record.info[_SESSION] = _Session()
