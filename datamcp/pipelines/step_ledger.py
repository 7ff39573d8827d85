"""Statements on steps that somebody has to look at: to lock their rows, and to write decisions.

Rows of steps are locked in the order of their ids, before the row of their run (protocol R12).
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    bindparam,
    cast,
    func,
    insert,
    or_,
    select,
    update,
)

from datamcp.infra import instants
from datamcp.infra.among import among
from datamcp.infra.database import Database
from datamcp.infra.direct import Direct
from datamcp.infra.instants import Instant
from datamcp.pipelines.board import Slip
from datamcp.pipelines.crowd import ALL_STEPS
from datamcp.pipelines.locks import HOLD, hold_limit, try_limit
from datamcp.pipelines.status import FINAL_RUN_STATES, RunState
from datamcp.pipelines.tables import runs, signals
from datamcp.tasks.ledger import HINT_COLUMNS, Hint, Now, portions
from datamcp.tasks.statements import insert_if_new
from datamcp.tasks.states import FINAL, State
from datamcp.tasks.tables import tasks
from datamcp.types import step_task_id

_UNDER_WAY = (State.QUEUED, State.RUNNING, State.RETRYING)

_LONGEST_KEY = 100  # characters of a key that is kept as it was written


@dataclass(frozen=True, slots=True)
class StepEnd:
    """How a step ended that needed no slot; `output` is JSON."""

    task_id: str
    state: State
    error_code: str | None = None
    error_message: str | None = None
    output: str | None = None
    adopted_from: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Left:
    """What a step has left behind that has ended: its state, its output (JSON), its id."""

    state: State
    is_forgiven: bool
    output: str | None
    task_id: str
    error_code: str | None = None
    error_message: str | None = None

    @property
    def counts_as_success(self) -> bool:
        """Whether those that wait for it may start."""
        is_failure = self.state in {State.FAILED, State.TIMED_OUT}
        return self.state is State.SUCCEEDED or (self.is_forgiven and is_failure)

    @property
    def seen(self) -> State:
        """The state that trigger rules see."""
        return State.SUCCEEDED if self.counts_as_success else self.state


@dataclass(frozen=True, slots=True)
class Undecided:
    """A step that somebody has to look at, as far as it tells how far a decision may reach."""

    step_id: str
    unsuccessful: int
    awaits: str | None

    @property
    def may_end(self) -> bool:
        """Whether it is to be expected that it ends, and does not start."""
        return self.unsuccessful > 0 or self.awaits is not None


@dataclass(frozen=True, slots=True)
class LockedRun:
    """What decisions need to know of a run, and the time."""

    state: RunState
    cancel_requested: bool
    admitted_at: datetime | None
    paused_at: datetime | None
    started_at: datetime | None
    now: datetime


class StepLedger:
    """The rows of steps, where decisions are made. Safe to share between threads."""

    def __init__(self, database: Database, *, now: Now = instants.now) -> None:
        """Take the database and, in tests, a clock in its place."""
        self.database = database
        self._now = now
        self._undecided = Direct(database, _undecided())
        self._lock = Direct(database, _lock(database.dialect), locks=[HOLD])
        self._lock_run = Direct(database, _lock_run(now()))
        self._start = Direct(database, _start(database.dialect, now()))

    # What there is to decide.

    def undecided(self, run_id: str) -> list[Undecided]:
        """Return the steps of a run that somebody has to look at."""
        return [Undecided(*row) for row in self._undecided.run({"run": run_id})]

    def lock(self, connection: Connection, run_id: str, step_ids: Collection[str]) -> list[Slip]:
        """Let nobody else decide about a run, as `hold_run` does; lock some steps that wait.

        Returns these; those of them that do not wait are left alone.
        """
        ids = [step_task_id(run_id, step_id) for step_id in step_ids]
        return [_slip(row) for row in self._lock.run_on(connection, {"name": run_id, "ids": ids})]

    def lock_run(self, connection: Connection, run_id: str) -> LockedRun:
        """Lock a run's row, and return it with the time (`now`)."""
        (row,) = self._lock_run.run_on(connection, {"run": run_id})
        return LockedRun(*row)

    def left(
        self, connection: Connection, run_id: str, step_ids: Collection[str]
    ) -> dict[str, Left]:
        """Return what those of some steps have left behind that have ended, by step id."""
        found: dict[str, Left] = {}
        for some in portions([step_task_id(run_id, step_id) for step_id in step_ids]):
            statement = select(tasks.c.step_id, *_LEFT).where(
                tasks.c.task_id.in_(some), tasks.c.state.in_(FINAL)
            )
            found |= {row.step_id: _left(row) for row in connection.execute(statement)}
        return found

    def instances(self, connection: Connection, run_id: str, step_id: str) -> list[Left]:
        """Return what the many have left that were made from a step, in the order of the list."""
        statement = (
            select(tasks.c.step_id, *_LEFT)
            .where(
                tasks.c.run_id == run_id,
                tasks.c.map_index.is_not(None),
                tasks.c.parent_id == step_task_id(run_id, step_id),
            )
            .order_by(tasks.c.map_index)
        )
        return [_left(row) for row in connection.execute(statement)]

    def reusable(self, connection: Connection, run_id: str, step_id: str) -> dict[str, Left]:
        """Return what succeeded of the many that a failed step was made to, by element (JSON)."""
        parent = step_task_id(run_id, step_id)
        failed = (
            select(tasks.c.task_id)
            .where(tasks.c.task_id == parent, tasks.c.state != State.SUCCEEDED)
            .exists()
        )
        statement = select(tasks.c.metadata, *_LEFT).where(
            tasks.c.run_id == run_id,
            tasks.c.parent_id == parent,
            tasks.c.map_index.is_not(None),
            tasks.c.state == State.SUCCEEDED,
            failed,
        )
        return {
            element_key(json.loads(row.metadata)["map"]["value"]): _left(row)
            for row in connection.execute(statement)
        }

    def under_way(self, connection: Connection, run_id: str, parent_id: str | None = None) -> int:
        """Count the steps of a run that have or want a slot; or all that a step was made to.

        Of the latter, those that wait without a slot are under way, too.
        """
        statement = select(func.count()).where(tasks.c.run_id == run_id)
        if parent_id is None:
            statement = statement.where(_has_slot())
        else:
            statement = statement.where(
                tasks.c.parent_id == parent_id, tasks.c.map_index.is_not(None), _is_under_way()
            )
        return int(connection.execute(statement).scalar_one())

    def all_under_way(self, connection: Connection) -> int:
        """Count the steps of all runs that have begun and not ended; nobody else starts any now."""
        hold_limit(connection, ALL_STEPS)
        is_step = and_(tasks.c.run_id.is_not(None), _has_slot())
        return int(connection.execute(select(func.count()).where(is_step)).scalar_one())

    def is_taken(self, connection: Connection, key: str, task_id: str) -> bool:
        """Tell whether another step is, or may be, under way with a limit's key; locks the key."""
        if not try_limit(connection, key):
            return True
        statement = (
            select(tasks.c.task_id)
            .where(tasks.c.limit_key == key, tasks.c.task_id != task_id, _is_under_way())
            .limit(1)
        )
        return connection.execute(statement).first() is not None

    # What was decided.

    def start(
        self, connection: Connection, keys: Mapping[str, str | None], *, is_relaxed: bool
    ) -> list[Hint]:
        """Queue steps, each with the key of its limit, if it has one; return their hints.

        With `is_relaxed`, nobody waits until the commit is on disk: see `Database.autocommit`.
        """
        hints: list[Hint] = []
        by_key: dict[str | None, list[str]] = {}
        for task_id, key in keys.items():
            by_key.setdefault(key, []).append(task_id)
        for key, task_ids in by_key.items():
            values = {"ids": task_ids, "key": key}
            rows = self._start.run_on(connection, values, is_relaxed=is_relaxed)
            hints += [Hint(*row) for row in rows]
        return hints

    def end(self, connection: Connection, ends: Sequence[StepEnd]) -> None:
        """Write how steps ended that needed no slot."""
        if not ends:
            return
        names = ("state", "error_code", "error_message", "output", "adopted_from", "note")
        given = {name: bindparam(f"end_{name}", type_=tasks.c[name].type) for name in names}
        statement = (
            update(tasks)
            .where(tasks.c.task_id == bindparam("id"), _waits())
            .values(**given, undecided=False, apart=True, finished_at=self._now())
        )
        rows = [
            {"id": one.task_id, **{f"end_{name}": getattr(one, name) for name in names}}
            for one in ends
        ]
        connection.execute(statement, rows)

    def put_back(self, connection: Connection, slips: Iterable[Slip]) -> None:
        """Write what is known of steps that still wait."""
        rows = [
            {
                "id": slip.task_id,
                "put_left": slip.left,
                "put_bad": slip.unsuccessful,
                "put_undecided": slip.is_undecided,
            }
            for slip in slips
        ]
        if rows:
            statement = (
                update(tasks)
                .where(tasks.c.task_id == bindparam("id"))
                .values(
                    upstreams_left=bindparam("put_left"),
                    unsuccessful=bindparam("put_bad"),
                    undecided=bindparam("put_undecided"),
                )
            )
            connection.execute(statement, rows)

    def wait(
        self,
        connection: Connection,
        slip: Slip,
        awaits: str,
        due: datetime | None,
        *,
        since: datetime,
    ) -> None:
        """Let a step wait for something, without a slot; it is looked at again when it is due."""
        slip.is_undecided, slip.awaits, slip.since = False, awaits, since
        connection.execute(
            update(tasks)
            .where(tasks.c.task_id == slip.task_id)
            .values(
                awaits=awaits[:255],
                scheduled_at=due,
                started_at=since,
                undecided=False,
                apart=True,
                upstreams_left=slip.left,
                unsuccessful=slip.unsuccessful,
            )
        )

    def park(self, connection: Connection, task_id: str) -> None:
        """Take a step back that is queued and has not begun, so that somebody can decide about it."""
        connection.execute(
            update(tasks)
            .where(
                tasks.c.task_id == task_id,
                tasks.c.state == State.QUEUED,
                tasks.c.fence.is_(None),
            )
            .values(state=State.SCHEDULED, scheduled_at=None, queued_at=None, undecided=True)
        )

    def insert(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert steps that a run did not have when it began."""
        statement = insert(tasks).values(created_at=self._now())
        for some in portions(rows):
            connection.execute(statement, [dict(row) for row in some])

    # What may be looked at again.

    def wake(self, connection: Connection, awaits: str) -> list[str]:
        """Have those looked at that wait for something; return their runs."""
        statement = (
            update(tasks)
            .where(tasks.c.awaits == awaits[:255], _waits())
            .values(undecided=True)
            .returning(tasks.c.run_id)
        )
        return list(connection.execute(statement).scalars())

    def wake_due(self, limit: int) -> list[str]:
        """Have those looked at whose time has come; return their runs."""
        due = (
            select(tasks.c.task_id)
            .where(
                tasks.c.awaits.is_not(None),
                _waits(),
                tasks.c.scheduled_at <= self._now(),
                tasks.c.undecided.is_(False),
            )
            .order_by(tasks.c.scheduled_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        with self.database.transaction() as connection:
            ids = list(connection.execute(due).scalars())
            if not ids:
                return []
            statement = update(tasks).where(tasks.c.task_id.in_(ids)).values(undecided=True)
            found = connection.execute(statement.returning(tasks.c.run_id)).scalars()
            return sorted({str(run_id) for run_id in found})

    def runs_undecided(self, limit: int) -> list[str]:
        """Return runs that may go on and have steps to look at, the oldest first."""
        statement = (
            select(runs.c.run_id)
            .join(tasks, tasks.c.run_id == runs.c.run_id)
            .where(
                tasks.c.undecided,
                runs.c.state.not_in(FINAL_RUN_STATES),
                runs.c.paused_at.is_(None),
                runs.c.admitted_at.is_not(None),
            )
            .group_by(runs.c.run_id, runs.c.created_at)
            .order_by(runs.c.created_at)
            .limit(limit)
        )
        with self.database.autocommit() as connection:
            return list(connection.execute(statement).scalars())

    def runs_kept_out(self, key: str, limit: int) -> list[str]:
        """Return runs with a step that may be waiting for the key of a limit, the oldest first."""
        statement = (
            select(tasks.c.run_id)
            .where(tasks.c.limit_key == key, tasks.c.undecided, _waits())
            .order_by(tasks.c.created_at)
            .limit(limit)
        )
        with self.database.autocommit() as connection:
            return list(dict.fromkeys(connection.execute(statement).scalars()))

    def runs_with_fewest(self, limit: int) -> list[str]:
        """Return runs with steps to look at: those of which the fewest are under way come first."""
        under_way = (
            select(tasks.c.run_id, func.count().label("count"))
            .where(tasks.c.run_id.is_not(None), _has_slot())
            .group_by(tasks.c.run_id)
            .subquery()
        )
        waiting = select(tasks.c.run_id).where(tasks.c.undecided).distinct().subquery()
        statement = (
            select(runs.c.run_id)
            .join(waiting, waiting.c.run_id == runs.c.run_id)
            .outerjoin(under_way, under_way.c.run_id == runs.c.run_id)
            .where(runs.c.paused_at.is_(None), runs.c.admitted_at.is_not(None))
            .order_by(func.coalesce(under_way.c["count"], 0), runs.c.created_at)
            .limit(limit)
        )
        with self.database.autocommit() as connection:
            return list(connection.execute(statement).scalars())

    def note_limit(self, connection: Connection, task_id: str, key: str) -> None:
        """Note which limit a step is under, or waits for: whoever leaves it finds the step."""
        connection.execute(update(tasks).where(tasks.c.task_id == task_id).values(limit_key=key))

    # Signals.

    def signal(
        self, connection: Connection, run_id: str, name: str, payload: str, note: str | None
    ) -> bool:
        """Keep a signal; False if there is one of this name already."""
        new = insert_if_new(self.database.dialect, signals).values(
            run_id=run_id, name=name, payload=payload, note=note, sent_at=self._now()
        )
        return bool(connection.execute(new).rowcount)

    def signalled(self, connection: Connection, run_id: str, name: str) -> Row[Any] | None:
        """Return a signal, if it was sent."""
        wanted = and_(signals.c.run_id == run_id, signals.c.name == name)
        return connection.execute(select(signals).where(wanted)).one_or_none()


def element_key(element: Any) -> str:
    """Return what two elements of lists have in common that are the same."""
    return json.dumps(element, sort_keys=True)


def limit_key(pipeline_id: str, text: str) -> str:
    """Return the key of a limit among the steps of a pipeline, as rows can hold it."""
    is_kept = len(text) <= _LONGEST_KEY and text.isprintable()
    shown = text if is_kept else sha256(text.encode(errors="surrogatepass")).hexdigest()
    return f"{pipeline_id} {shown}"


def _undecided() -> Any:
    is_open = and_(tasks.c.run_id == bindparam("run"), tasks.c.undecided, _waits())
    return select(tasks.c.step_id, tasks.c.unsuccessful, tasks.c.awaits).where(is_open)


def _lock(dialect: str) -> Any:
    """Lock steps that wait, in the order of their ids (protocol R12)."""
    wanted = among(dialect, tasks.c.task_id, "ids")
    return select(*_SLIP).where(wanted, _waits()).order_by(tasks.c.task_id).with_for_update()


def _lock_run(now: ColumnElement[Any]) -> Any:
    columns = (
        runs.c.state,
        runs.c.cancel_requested,
        runs.c.admitted_at,
        runs.c.paused_at,
        runs.c.started_at,
    )
    at = cast(now, Instant)  # a clock of tests is a parameter, which would come back as text
    return select(*columns, at).where(runs.c.run_id == bindparam("run")).with_for_update()


def _start(dialect: str, now: ColumnElement[Any]) -> Any:
    return (
        update(tasks)
        .where(among(dialect, tasks.c.task_id, "ids"), _waits())
        .values(
            state=State.QUEUED,
            queued_at=now,
            undecided=False,
            apart=True,
            limit_key=bindparam("key", type_=tasks.c.limit_key.type),
        )
        .returning(*HINT_COLUMNS)
    )


def _waits() -> Any:
    # What an attempt has put off has begun: it keeps its last claim's fence.
    return and_(tasks.c.state == State.SCHEDULED, tasks.c.fence.is_(None))


def _is_under_way() -> Any:
    is_waiting = and_(tasks.c.state == State.SCHEDULED, tasks.c.awaits.is_not(None))
    return or_(_has_slot(), is_waiting)


def _has_slot() -> Any:
    is_put_off = and_(tasks.c.state == State.SCHEDULED, tasks.c.fence.is_not(None))
    return or_(tasks.c.state.in_(_UNDER_WAY), is_put_off)


_SLIP = (
    tasks.c.step_id,
    tasks.c.task_id,
    tasks.c.gate,
    tasks.c.upstreams_left,
    tasks.c.unsuccessful,
    tasks.c.undecided,
    tasks.c.awaits,
    tasks.c.map_index,
    tasks.c.started_at,
    tasks.c.timeout,
    tasks.c.metadata,
    tasks.c.limit_key,
)

_LEFT = (
    tasks.c.state,
    tasks.c.forgiven,
    tasks.c.output,
    tasks.c.task_id,
    tasks.c.error_code,
    tasks.c.error_message,
)


def _slip(row: Sequence[Any]) -> Slip:
    step_id, task_id, gate, left, bad, undecided, awaits, index, since, timeout, text, key = row
    is_one_of_many = text is not None and index is not None
    element = json.loads(text)["map"]["value"] if is_one_of_many else None
    return Slip(
        step_id, task_id, gate, left, bad, undecided, awaits, index, since, timeout, element, key
    )


def _left(row: Sequence[Any]) -> Left:
    state, is_forgiven, output, task_id, code, message = row[-len(_LEFT) :]
    return Left(State(state), is_forgiven, output, task_id, code, message)
