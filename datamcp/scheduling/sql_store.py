"""Schedules in SQL: in the ledger's own database, or in a SQLite file of this host.

The rows that a beat takes are locked until its transaction ends; other beats pass them over.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    ColumnElement,
    Connection,
    Select,
    Table,
    Text,
    and_,
    cast,
    column,
    delete,
    exc,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)

from datamcp.errors import ScheduleExistsError
from datamcp.infra import instants
from datamcp.infra.database import Database
from datamcp.infra.instants import as_json
from datamcp.scheduling.schedule import Firing, Schedule, Source
from datamcp.scheduling.store import Move, Outlook, Turn
from datamcp.scheduling.tables import firings, schedules
from datamcp.tasks.statements import insert_if_new

Now = Callable[[], ColumnElement[datetime]]


class SqlStore:
    """Schedules in a database. Safe to share between threads, and to carry through a fork."""

    def __init__(
        self,
        database: Database,
        *,
        ledger: Database | None = None,
        is_kept: bool = True,
        now: Now = instants.now,
    ) -> None:
        """Take the database.

        `ledger` is where tasks are made, if that is another one; then the tables are made where
        they are missing, and with `is_kept` False the file goes at the end. `now` is the clock, in
        tests.
        """
        self._is_kept = is_kept
        self._database = database
        self._ledger = ledger
        self._now = now
        self._is_ready = ledger is None

    def now(self) -> datetime:
        """Return the database's instant."""
        with self._reading() as connection:
            return _instant(connection, self._now())

    def add(self, schedule: Schedule, due_at: datetime | None) -> None:
        """Keep a new schedule; raises ScheduleExistsError if its id or its name is taken."""
        with self._writing() as connection:
            is_taken = _is_taken(schedule)
            if connection.execute(select(schedules.c.schedule_id).where(is_taken)).first():
                raise ScheduleExistsError(schedule.title)
            try:
                with connection.begin_nested():
                    connection.execute(insert(schedules).values(_row(schedule, due_at)))
            except exc.IntegrityError as error:  # somebody was faster
                raise ScheduleExistsError(schedule.title) from error

    def get(self, key: str) -> Schedule | None:
        """Return the schedule with this id or, failing that, this name."""
        by_id = schedules.c.schedule_id == key
        statement = (
            select(schedules.c.document)
            .where(or_(by_id, schedules.c.name == key))
            .order_by(by_id.desc())
            .limit(1)
        )
        with self._reading() as connection:
            document = connection.execute(statement).scalar_one_or_none()
        return None if document is None else Schedule.read(document)

    def list(self, source: Source | None = None) -> Sequence[Schedule]:
        """Return all schedules, or those of one source; by name, then by id."""
        statement = select(schedules.c.document)
        if source is not None:
            statement = statement.where(schedules.c.source == source)
        with self._reading() as connection:
            documents = connection.execute(statement).scalars().all()
        found = [Schedule.read(document) for document in documents]
        return sorted(found, key=lambda one: (one.name is None, one.title))

    def replace(self, move: Move) -> bool:
        """Change a schedule, and note its firings, unless somebody has changed it meanwhile."""
        is_same = (
            schedules.c.schedule_id == move.before.schedule_id,
            schedules.c.version == move.before.version,
        )
        after = move.after.model_copy(update={"version": move.before.version + 1})
        with self._writing() as connection:
            statement = update(schedules).where(*is_same).values(_row(after, move.due_at))
            if not connection.execute(statement).rowcount:
                return False
            _note(connection, move.firings)
        return True

    def remove(self, schedule_id: str) -> bool:
        """Forget a schedule and its firings; False if there is none."""
        with self._writing() as connection:
            gone = delete(schedules).where(schedules.c.schedule_id == schedule_id)
            connection.execute(delete(firings).where(firings.c.schedule_id == schedule_id))
            return bool(connection.execute(gone).rowcount)

    def firings(self, schedule_id: str, limit: int) -> Sequence[Firing]:
        """Return what became of a schedule's times, the newest first."""
        statement = (
            select(firings)
            .where(firings.c.schedule_id == schedule_id)
            .order_by(firings.c.fire_at.desc(), firings.c.recorded_at.desc())
            .limit(limit)
        )
        with self._reading() as connection:
            rows = connection.execute(statement).mappings().all()
        return [Firing.model_validate(dict(row)) for row in rows]

    def due_in(self) -> float | None:
        """Return the seconds until one is due; negative if one is late, None if none ever is."""
        with self._reading() as connection:
            return _due_in(connection, self._now())

    def outlook(self) -> Outlook:
        """Return how the schedules are."""
        is_paused = func.count().filter(schedules.c.paused.is_(True))
        with self._reading() as connection:
            count, paused = connection.execute(
                select(func.count(), is_paused).select_from(schedules)
            ).one()
            late = connection.execute(_last_lateness()).scalar_one_or_none()
            return Outlook(count, paused, _due_in(connection, self._now()), late)

    @contextmanager
    def turn(self, limit: int) -> Iterator[Turn]:
        """Take some schedules that are due, and that no other beat has."""
        with self._writing() as connection:
            now = _instant(connection, self._now())
            documents = connection.execute(_due(now, limit)).scalars().all()
            due = [Schedule.read(document) for document in documents]
            yield _Turn(now, due, connection, self._ledger)

    def prune(self, age: float, limit: int) -> int:
        """Forget some firings, and schedules that are over, older than so many seconds."""
        with self._writing() as connection:
            before = _instant(connection, instants.after(self._now(), -age))
            return sum(
                _remove(connection, table, chosen, limit)
                for table, chosen in (
                    (firings, firings.c.recorded_at < before),
                    (schedules, _is_over(before)),
                )
            )

    def close(self) -> None:
        """Close its own connections; a file that is not to be kept is removed."""
        if self._ledger is None:
            return
        self._database.close()
        file = self._database.file
        if file is not None and not self._is_kept:
            for suffix in ("", "-wal", "-shm"):
                file.with_name(file.name + suffix).unlink(missing_ok=True)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        self._make_ready()
        with self._database.autocommit() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        self._make_ready()
        with self._database.transaction() as connection:
            yield connection

    def _make_ready(self) -> None:
        """Make the tables of a file of our own."""
        if self._is_ready:
            return
        with self._database.transaction() as connection:
            for table in (schedules, firings):
                table.create(connection, checkfirst=True)
        self._is_ready = True


@dataclass(frozen=True, slots=True)
class _Turn:
    """Rows that are locked by a transaction."""

    now: datetime
    due: Sequence[Schedule]
    _connection: Connection
    _ledger: Database | None

    def ledger(self) -> AbstractContextManager[Connection]:
        """Return this transaction itself, where the ledger is here."""
        if self._ledger is None:
            return nullcontext(self._connection)
        return self._ledger.transaction()

    def move(self, moves: Sequence[Move]) -> None:
        """Let schedules go on."""
        if not moves:
            return
        dialect = self._connection.dialect.name
        rows = [
            {
                "schedule_id": move.before.schedule_id,
                "version": move.before.version,
                "due_at": None if move.due_at is None else as_json(move.due_at, dialect),
                "updated_at": as_json(move.after.updated_at, dialect),
                "document": _document(move.after, move.before.version + 1),
            }
            for move in moves
        ]
        moved = _given(
            dialect,
            {name: schedules.c[name].type for name in rows[0]},
            rows,
        )
        self._connection.execute(
            update(schedules)
            .where(
                schedules.c.schedule_id == moved.c.schedule_id,
                schedules.c.version == moved.c.version,
            )
            .values(
                version=schedules.c.version + 1,
                due_at=moved.c.due_at,
                updated_at=moved.c.updated_at,
                document=moved.c.document,
            )
        )
        _note(self._connection, [firing for move in moves for firing in move.firings])


def _is_over(before: datetime) -> ColumnElement[bool]:
    """Return the condition of schedules without times left, to which nothing was done since.

    One that is declared somewhere stays: it would be made anew.
    """
    return and_(
        schedules.c.due_at.is_(None),
        schedules.c.paused.is_(False),
        schedules.c.source == Source.API,
        schedules.c.updated_at < before,
    )


def _is_taken(schedule: Schedule) -> ColumnElement[bool]:
    same_id = schedules.c.schedule_id == schedule.schedule_id
    return same_id if schedule.name is None else or_(same_id, schedules.c.name == schedule.name)


def _due(now: datetime, limit: int) -> Select[Any]:
    return (
        select(schedules.c.document)
        .where(schedules.c.due_at <= now)
        .order_by(schedules.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )


def _due_in(connection: Connection, now: ColumnElement[datetime]) -> float | None:
    first = select(func.min(schedules.c.due_at), now).where(schedules.c.due_at.is_not(None))
    due, at = connection.execute(first).one()
    return None if due is None else float((due - at).total_seconds())


def _last_lateness() -> Select[Any]:
    return (
        select(firings.c.lateness)
        .where(firings.c.lateness.is_not(None))
        .order_by(firings.c.recorded_at.desc())
        .limit(1)
    )


def _instant(connection: Connection, instant: ColumnElement[datetime]) -> datetime:
    found: datetime = connection.execute(select(instant)).scalar_one()
    return found


def _document(schedule: Schedule, version: int) -> str:
    return schedule.model_copy(update={"version": version}).model_dump_json()


def _row(schedule: Schedule, due_at: datetime | None) -> dict[str, Any]:
    return {
        "schedule_id": schedule.schedule_id,
        "name": schedule.name,
        "source": schedule.source,
        "version": schedule.version,
        "paused": schedule.paused,
        "due_at": due_at,
        "updated_at": schedule.updated_at,
        "document": schedule.model_dump_json(),
    }


def _note(connection: Connection, new: Sequence[Firing]) -> None:
    """Note what became of times; what is known of a time already stays."""
    if not new:
        return
    dialect = connection.dialect.name
    instants_ = ("fire_at", "recorded_at")
    rows = [
        {
            **one.model_dump(mode="json", exclude=set(instants_)),
            **{name: as_json(getattr(one, name), dialect) for name in instants_},
        }
        for one in new
    ]
    columns = {each.name: each.type for each in firings.columns}
    given = _given(dialect, columns, rows)
    names = list(columns)
    # SQLite takes ON after a SELECT without WHERE for that of a join.
    chosen = select(*(given.c[name] for name in names)).where(literal_column("1") == 1)
    connection.execute(insert_if_new(dialect, firings).from_select(names, chosen))


def _given(dialect: str, columns: dict[str, Any], rows: Sequence[dict[str, Any]]) -> Any:
    """Return rows as a table of a statement: one JSON text, however many they are."""
    text = json.dumps(rows)
    if dialect == "postgresql":
        typed = [column(name, kind) for name, kind in columns.items()]
        table = func.json_to_recordset(cast(literal(text, Text()), JSON()))
        return table.table_valued(*typed, name="given").render_derived(with_types=True)
    each = func.json_each(text).table_valued("value", name="each")
    extracted = [
        func.json_extract(each.c.value, f"$.{name}", type_=kind).label(name)
        for name, kind in columns.items()
    ]
    return select(*extracted).subquery("given")


def _remove(
    connection: Connection, table: Table, condition: ColumnElement[bool], limit: int
) -> int:
    """Remove some rows that meet a condition; return how many."""
    key = tuple_(*table.primary_key.columns)
    chosen = select(*table.primary_key.columns).where(condition).limit(limit)
    rows = connection.execute(chosen.with_for_update(skip_locked=True)).all()
    if not rows:
        return 0
    gone = delete(table).where(key.in_([tuple(row) for row in rows]))
    return connection.execute(gone).rowcount
