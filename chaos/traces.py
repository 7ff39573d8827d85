"""What is noted in the ledger's own database: effects and executions by tasks, moves by triggers.

A trigger writes each change of a task's state or fence into `chaos_moves`, in the transaction that
makes it. So nothing that happened to a row can be forgotten, whoever did it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import text

from datamcp.config.loader import load
from datamcp.infra.database import Connection, Database
from datamcp.tasks.patience import patiently

_PATIENCE = (0.2, 0.5, 1.0, 1.0, 2.0, 2.0, 4.0, 4.0, 8.0, 8.0)  # seconds between tries of one note

_TABLES = (
    "CREATE TABLE chaos_effects (effect_key TEXT PRIMARY KEY, task_id TEXT NOT NULL)",
    "CREATE TABLE chaos_deeds (task_id TEXT NOT NULL, at DOUBLE PRECISION NOT NULL)",
    (
        "CREATE TABLE chaos_runs (task_id TEXT NOT NULL, attempt INTEGER NOT NULL, at DOUBLE PRECISION"
        " NOT NULL)"
    ),
    (
        "CREATE TABLE chaos_moves (number {serial}, task_id TEXT NOT NULL, was TEXT NOT NULL,"
        " became TEXT NOT NULL, agent_id TEXT, at DOUBLE PRECISION NOT NULL)"
    ),
)
_SERIAL = {
    "postgresql": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    "sqlite": "INTEGER PRIMARY KEY AUTOINCREMENT",
}
_NOW = {
    "postgresql": "extract(epoch FROM clock_timestamp())",
    "sqlite": "(julianday('now') - 2440587.5) * 86400.0",
}
_NOTE = (
    "INSERT INTO chaos_moves (task_id, was, became, agent_id, at)"
    " VALUES (OLD.task_id, OLD.state, NEW.state, OLD.agent_id, {now});"
)
_TRIGGERS = {
    "postgresql": (
        (
            "CREATE FUNCTION chaos_note() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN {note} RETURN NULL; END $$"
        ),
        (
            "CREATE TRIGGER chaos_moved AFTER UPDATE ON tasks FOR EACH ROW WHEN"
            " (OLD.state IS DISTINCT FROM NEW.state OR OLD.fence IS DISTINCT FROM NEW.fence)"
            " EXECUTE FUNCTION chaos_note()"
        ),
    ),
    "sqlite": (
        (
            "CREATE TRIGGER chaos_moved AFTER UPDATE ON tasks FOR EACH ROW WHEN"
            " OLD.state IS NOT NEW.state OR OLD.fence IS NOT NEW.fence BEGIN {note} END"
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Move:
    """A change of a task's row. `agent_id` had the last claim before it; `at` is in seconds."""

    task_id: str
    was: str
    became: str
    agent_id: str | None
    at: float


def set_up(url: str) -> None:
    """Make the tables and triggers in a ledger's database."""
    database = Database(url)
    now = _NOW[database.dialect]
    statements = [table.replace("{serial}", _SERIAL[database.dialect]) for table in _TABLES]
    statements += [
        trigger.replace("{note}", _NOTE.format(now=now)) for trigger in _TRIGGERS[database.dialect]
    ]
    with database.transaction() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    database.close()


# By tasks.


def note_run(task_id: str, attempt: int) -> None:
    """Note that an execution has begun."""
    statement = "INSERT INTO chaos_runs (task_id, attempt, at) VALUES (:task_id, :attempt, {now})"
    _note(statement, task_id=task_id, attempt=attempt)


def note_effect(key: str, task_id: str) -> None:
    """Have an effect, once for each key."""
    statement = (
        "INSERT INTO chaos_effects (effect_key, task_id) VALUES (:key, :task_id)"
        " ON CONFLICT DO NOTHING"
    )
    _note(statement, key=key, task_id=task_id)


def do_deed(connection: Connection, task_id: str) -> None:
    """Have an effect that is had again whenever this is committed."""
    now = _NOW[connection.dialect.name]
    statement = text(f"INSERT INTO chaos_deeds (task_id, at) VALUES (:task_id, {now})")  # noqa: S608  our own text
    connection.execute(statement, {"task_id": task_id})


def _note(statement: str, **values: Any) -> None:
    database = own_database()

    def write() -> None:
        with database.autocommit() as connection:
            connection.execute(text(statement.replace("{now}", _NOW[database.dialect])), values)

    patiently(write, _PATIENCE, lambda _error: None)


@cache
def own_database() -> Database:
    """Return this process's connections to the ledger's database, apart from the engine's."""
    return Database(str(load().config.storage.database_url), pool_size=2)


# At the end.

_ENDED = "'succeeded', 'failed', 'cancelled', 'timed_out'"


class Traces:
    """Reads what was noted, and the ledger's rows."""

    def __init__(self, database: Database) -> None:
        """Take the database, without anything between."""
        self._database = database

    def rows(self) -> dict[str, Any]:
        """Return what matters of each task's row, by id."""
        columns = "task_id, task_type, state, attempt, losses, suspicions, error_code, queue"
        return {row.task_id: row for row in self._all(f"SELECT {columns} FROM tasks")}  # noqa: S608  our own text

    def unfinished(self) -> int:
        """Return how many tasks have not ended."""
        (row,) = self._all(f"SELECT count(*) AS n FROM tasks WHERE state NOT IN ({_ENDED})")  # noqa: S608  our own text
        return int(row.n)

    def open_rows(self) -> Sequence[Any]:
        """Return what tells of tasks that have not ended how they stand, the oldest first."""
        columns = (
            "task_id, task_type, state, queue, priority, queued_at, scheduled_at, started_at,"
            " lease_until, attempt, losses, suspicions, blocked_on, concurrency_key, fence, agent_id,"
            " awaits, cancel_requested, parent_id"
        )
        found = self._all(
            f"SELECT {columns}, {self._now} AS now FROM tasks WHERE state NOT IN ({_ENDED})"  # noqa: S608  our own text
            " ORDER BY queued_at"
        )
        return [row._mapping for row in found]  # noqa: SLF001  SQLAlchemy's name of it

    def moves_of(self, task_id: str) -> Sequence[Any]:
        """Return all moves of one task."""
        found = self._all(
            "SELECT was, became, agent_id, at FROM chaos_moves WHERE task_id = :task ORDER BY number",
            task=task_id,
        )
        return [row._mapping for row in found]  # noqa: SLF001  as above

    def turns(self) -> Sequence[str]:
        """Return when whose turn is free."""
        return [f"{row.key}: {row.free_at}" for row in self._all("SELECT key, free_at FROM turns")]

    def processes(self) -> Sequence[str]:
        """Return what processes report of themselves."""
        return [str(dict(row._mapping)) for row in self._all("SELECT * FROM processes")]  # noqa: SLF001  as above

    def effects(self) -> dict[str, str]:
        """Return the task of each effect that was had once for its key."""
        return {
            row.effect_key: row.task_id
            for row in self._all("SELECT effect_key, task_id FROM chaos_effects")
        }

    def deeds(self) -> dict[str, int]:
        """Return how often each task had its effect that can be had again."""
        return self._counts("chaos_deeds")

    def runs(self) -> dict[str, int]:
        """Return how often each task was begun."""
        return self._counts("chaos_runs")

    def moves(self) -> Iterator[Move]:
        """Return all moves, in their order."""
        ordered = "SELECT task_id, was, became, agent_id, at FROM chaos_moves ORDER BY number"
        return (Move(*row) for row in self._all(ordered))

    def _counts(self, table: str) -> dict[str, int]:
        counted = f"SELECT task_id, count(*) AS n FROM {table} GROUP BY task_id"  # noqa: S608  our own text
        return {row.task_id: row.n for row in self._all(counted)}

    @property
    def _now(self) -> str:
        return _NOW[self._database.dialect]

    def _all(self, statement: str, **values: Any) -> Sequence[Any]:
        with self._database.autocommit() as connection:
            return connection.execute(text(statement), values).all()
