"""Firing on every store: what is due is made once, whoever dies when, and whatever goes wrong."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis.connection import AbstractConnection
from sqlalchemy import Engine, event
from support.databases import TestDatabases
from support.inline import calculating, copied
from support.schedules import STORES, StoreOnHand, store_at_hand

from datamcp import Task
from datamcp.errors import BackendUnavailable
from datamcp.scheduling.fire import Firer
from datamcp.scheduling.redis_store import HELD
from datamcp.scheduling.schedule import Kind, Outcome, Schedule, fired_id
from datamcp.scheduling.target import CallTarget, RunTarget, TaskTarget
from datamcp.tasks.ledger import TaskLedger
from datamcp.tasks.publish import BrokerPublisher
from datamcp.tasks.states import State
from datamcp.testing import FakeClock, InlineRuntime, drain

ROOM = 10
START = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Crash(BaseException):
    """The end of a process, as far as its own code is concerned."""


class Beats:
    """A runtime with a store, and beats over it."""

    def __init__(self, runtime: InlineRuntime, kept: StoreOnHand) -> None:
        """Take both."""
        self.runtime = runtime
        self.kept = kept
        self.clock = runtime.clock

    def fire(self) -> None:
        """Have a new beat fire all that is due."""
        firer = Firer(self.kept.store, self.runtime.starters, self.runtime.app.telemetry)
        while firer.go() == 0:
            pass

    def lose_connections(self) -> None:
        """Have none of those that a dead process would have left to the system."""
        gc.collect()
        self.runtime.database.close()
        self.kept.store.close()

    def now(self, schedule: Schedule) -> Schedule:
        """Return a schedule as it is now."""
        found = self.kept.store.get(schedule.schedule_id)
        assert found is not None
        return found

    def outcomes(self, schedule: Schedule) -> list[tuple[float, Outcome]]:
        """Return what became of times, the oldest first, in seconds after the start."""
        found = self.kept.store.firings(schedule.schedule_id, 1000)
        return [((one.fire_at - START).total_seconds(), one.outcome) for one in reversed(found)]

    def task_at(self, schedule: Schedule, second: float) -> str:
        """Return the id of the task of a time."""
        fire_at = START + timedelta(seconds=second)
        return fired_id(schedule.schedule_id, fire_at, Kind.DUE)

    def state_at(self, schedule: Schedule, second: float) -> State:
        """Return the state of the task of a time."""
        return self.runtime.tasks.status(self.task_at(schedule, second)).state


@pytest.fixture(params=STORES)
def beats(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Beats]:
    """Have a runtime without workers, and a store of each kind."""
    if request.param == "postgresql":
        databases: TestDatabases = request.getfixturevalue("databases")
        with databases.database(template=request.getfixturevalue("postgresql_template")) as url:
            yield from _beats(request, tmp_path, url)
    else:
        yield from _beats(
            request, tmp_path, copied(request.getfixturevalue("sqlite_template"), tmp_path / "db")
        )


def _beats(request: pytest.FixtureRequest, folder: Path, url: str) -> Iterator[Beats]:
    with (
        calculating(
            folder, url, FakeClock(START), **{"scheduler.max_queue_size": str(ROOM)}
        ) as runtime,
        store_at_hand(request.param, request, folder, runtime.database, runtime.clock) as kept,
    ):
        yield Beats(runtime, kept)


def add(a: Any = 1, **fields: Any) -> TaskTarget:
    """Return a task as what is fired."""
    return TaskTarget(task=Task(task_type="calc.add", parameters={"a": a}, **fields))


class TestWhatIsMade:
    def test_a_task_knows_its_time(self, beats: Beats) -> None:
        """It has an id of its own, what the schedule says, and where it comes from."""
        task = Task(task_type="calc.name", priority=8, tags=("nightly",), metadata={"owner": "us"})
        one = beats.kept.add(name="ten", target=TaskTarget(task=task))
        beats.clock.advance(seconds=12)
        beats.fire()
        status = beats.runtime.tasks.status(beats.task_at(one, 10))
        assert (status.state, status.priority) == (State.QUEUED, 8)
        row = beats.runtime.ledger.get(status.task_id)
        assert row is not None
        assert '"fire_at":"2026-05-01T12:00:10+00:00"' in row.metadata
        assert '"schedule":"ten"' in row.metadata
        assert '"owner":"us"' in row.metadata
        assert [letter.task_id for letter in beats.runtime.published] == [status.task_id]
        now = beats.now(one)
        assert (now.fired, now.fired_id, now.lateness) == (1, status.task_id, 2.0)
        assert now.next_fire_at == START + timedelta(seconds=20)

    def test_parameters_may_hold_the_time(self, beats: Beats) -> None:
        """As text, anywhere in them."""
        target = TaskTarget(
            task=Task(
                task_type="calc.call",
                parameters={"wanted": "x", "parameters": {"day": ["at ${run.fire_at}"]}},
            )
        )
        one = beats.kept.add(target=target)
        beats.clock.advance(seconds=10)
        beats.fire()
        row = beats.runtime.ledger.get(beats.task_at(one, 10))
        assert row is not None
        assert "at 2026-05-01T12:00:10+00:00" in row.parameters

    def test_a_plain_celery_call_is_made_as_celery_would(self, beats: Beats) -> None:
        """With its arguments and its options."""
        call = CallTarget(
            task_type="calc.add", args=(1,), kwargs={"b": 2}, options={"priority": 9, "expires": 60}
        )
        one = beats.kept.add(target=call)
        beats.clock.advance(seconds=10)
        beats.fire()
        (result,) = drain(beats.runtime)
        assert (result.task_id, result.data) == (beats.task_at(one, 10), 3)
        row = beats.runtime.ledger.get(result.task_id)
        assert row is not None
        assert row.priority == 9
        assert row.expires_at == START + timedelta(seconds=70)

    def test_one_that_can_t_be_made_keeps_no_other_from_it(self, beats: Beats) -> None:
        """It says why, and has its chance at the next time."""
        wrong = beats.kept.add(target=TaskTarget(task=Task(task_type="calc.ad")))
        absent = beats.kept.add(target=RunTarget(pipeline_id="nothing"))
        right = beats.kept.add(target=add())
        beats.clock.advance(seconds=10)
        beats.fire()
        assert beats.state_at(right, 10) is State.QUEUED
        assert "did you mean 'calc.add'" in str(beats.now(wrong).error)
        assert "no pipeline 'nothing'" in str(beats.now(absent).error)
        (failed,) = beats.kept.store.firings(wrong.schedule_id, 9)
        assert (failed.outcome, failed.fired_id) == (Outcome.FAILED, None)
        assert beats.now(wrong).next_fire_at == START + timedelta(seconds=20)

    def test_one_that_the_database_refuses_is_found_out(
        self, beats: Beats, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The others of its turn are made all the same."""
        insert = TaskLedger.insert_many_on

        def refusing(ledger: Any, connection: Any, new: Any) -> Any:
            if any('"a":666' in task.parameters for task in new):
                raise ValueError("the database does not like this one")
            return insert(ledger, connection, new)

        monkeypatch.setattr(TaskLedger, "insert_many_on", refusing)
        wrong, right = beats.kept.add(target=add(666)), beats.kept.add(target=add())
        beats.clock.advance(seconds=10)
        beats.fire()
        assert beats.state_at(right, 10) is State.QUEUED
        assert "does not like" in str(beats.now(wrong).error)
        assert beats.outcomes(wrong) == [(10, Outcome.FAILED)]

    def test_a_schedule_that_can_t_be_read_waits(self, beats: Beats) -> None:
        """It keeps no other from firing, and says what is wrong."""
        broken = beats.kept.new()
        spec = broken.spec.model_copy(update={"timezone": "Mars/Olympus"})
        broken = broken.model_copy(update={"spec": spec})
        beats.kept.store.add(broken, START)
        right = beats.kept.add(target=add())
        beats.clock.advance(seconds=10)
        beats.fire()
        assert beats.state_at(right, 10) is State.QUEUED
        assert "Mars/Olympus" in str(beats.now(broken).error)

    def test_a_full_queue_refuses_no_firing(self, beats: Beats) -> None:
        """Only clients are refused (R16)."""
        for _ in range(ROOM + 3):
            beats.kept.add(target=add())
        beats.clock.advance(seconds=10)
        beats.fire()
        assert len(beats.runtime.published) == ROOM + 3


class TestOverlap:
    def test_the_new_one_is_left_out(self, beats: Beats) -> None:
        """Until the other has ended."""
        one = beats.kept.add(target=add(), overlap="skip")
        beats.clock.advance(seconds=10)
        beats.fire()
        beats.clock.advance(seconds=10)
        beats.fire()
        drain(beats.runtime)
        beats.clock.advance(seconds=10)
        beats.fire()
        assert beats.outcomes(one) == [
            (10, Outcome.FIRED),
            (20, Outcome.SKIPPED),
            (30, Outcome.FIRED),
        ]

    def test_the_new_one_waits(self, beats: Beats) -> None:
        """It is made a second after the other has ended, at most."""
        one = beats.kept.add(target=add(), overlap="buffer_one")
        beats.clock.advance(seconds=10)
        beats.fire()
        beats.clock.advance(seconds=10)
        beats.fire()
        assert beats.now(one).buffered_at == START + timedelta(seconds=20)
        drain(beats.runtime)
        beats.clock.advance(seconds=1)
        beats.fire()
        assert beats.state_at(one, 20) is State.QUEUED
        assert beats.now(one).buffered_at is None
        waited, first = beats.kept.store.firings(one.schedule_id, 9)
        assert (waited.lateness, first.lateness) == (None, 0.0)
        assert beats.kept.store.outlook().lateness == 0.0

    def test_the_other_is_cancelled(self, beats: Beats) -> None:
        """And the new one made once that has ended."""
        one = beats.kept.add(target=add(), overlap="cancel_other")
        beats.clock.advance(seconds=10)
        beats.fire()
        beats.clock.advance(seconds=10)
        beats.fire()
        assert beats.state_at(one, 10) is State.CANCELLED
        beats.clock.advance(seconds=1)
        beats.fire()
        assert beats.state_at(one, 20) is State.QUEUED
        assert [result.state for result in drain(beats.runtime)] == [State.SUCCEEDED]


class TestAway:
    def test_a_database_that_is_away_costs_nothing(
        self, beats: Beats, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What could not be made is made by the next try."""
        one = beats.kept.add(target=add(), misfire="catch_up")
        beats.clock.advance(seconds=30)

        def away(*_: Any) -> Any:
            raise BackendUnavailable("database", "on purpose")

        with monkeypatch.context() as patch:
            patch.setattr(TaskLedger, "insert_many_on", away)
            with pytest.raises(BackendUnavailable):
                beats.fire()
        beats.fire()
        assert [second for second, _ in beats.outcomes(one)] == [10, 20, 30]

    def test_a_broker_that_is_away_costs_nothing(
        self, beats: Beats, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The tasks are made, and sent later."""
        one = beats.kept.add(target=add())
        beats.clock.advance(seconds=10)

        def away(*_: Any) -> Any:
            raise BackendUnavailable("broker", "on purpose")

        with monkeypatch.context() as patch:
            patch.setattr(BrokerPublisher, "publish", away)
            beats.fire()
        assert beats.state_at(one, 10) is State.QUEUED
        assert not beats.runtime.published
        beats.clock.advance(seconds=6)
        beats.runtime.reconciler.sweep()
        assert len(beats.runtime.published) == 1


EACH_KIND = pytest.mark.parametrize(
    "beats",
    [
        pytest.param(kind, marks=[] if kind in {"postgresql", "redis"} else pytest.mark.thorough)
        for kind in STORES
    ],
    indirect=True,
)
"""One store in the ledger's database and one in Redis; the others are made of the same steps."""


@contextmanager
def crashing_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    """End the process at a step: before a statement, a commit, after a command, around a publish.

    What is after a statement is before the next one. Yields what tells how many steps there were.
    """
    count = 0

    def tick(*_: Any, **__: Any) -> None:
        nonlocal count
        count += 1
        if count - 1 == step:
            raise Crash

    def ticking(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            result = function(*args, **options)
            tick()
            return result

        return call

    names = ("before_cursor_execute", "commit")
    for name in names:
        event.listen(Engine, name, tick)
    try:
        with monkeypatch.context() as patch:
            publish = ticking(BrokerPublisher.publish)
            patch.setattr(BrokerPublisher, "publish", publish)
            send = ticking(AbstractConnection.send_packed_command)
            patch.setattr(AbstractConnection, "send_packed_command", send)
            yield lambda: count
    finally:
        for name in names:
            event.remove(Engine, name, tick)


@EACH_KIND
def test_a_crash_at_any_step_loses_nothing_and_doubles_nothing(
    beats: Beats, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between any two statements another beat takes over, and makes the rest."""
    has_crashed, step = True, 0
    while has_crashed:
        begin = beats.clock.now()
        one = beats.kept.add(
            target=add(), misfire="catch_up", overlap="buffer_one", name=f"step {step}"
        )
        other = beats.kept.add(target=add(), misfire="catch_up")
        beats.clock.advance(seconds=30)
        with crashing_at(step, monkeypatch) as counted:
            with suppress(Crash):
                beats.fire()
                has_crashed = False
            steps = counted()
        beats.lose_connections()
        beats.clock.advance(HELD)
        for _ in range(3):
            beats.fire()
            drain(beats.runtime)
            beats.clock.advance(seconds=1)
        passed = int((beats.clock.now() - begin).total_seconds()) // 10
        expected = [begin + timedelta(seconds=10 * n) for n in range(1, passed + 1)]
        for schedule in (one, other):
            noted = {
                each.fire_at: each.outcome
                for each in beats.kept.store.firings(schedule.schedule_id, 99)
            }
            assert sorted(noted) == expected[: len(noted)]
            assert len(expected) - len(noted) <= (schedule is one)
            made = {at for at, outcome in noted.items() if outcome is Outcome.FIRED}
            if schedule is other:
                assert made == set(expected)
            tasks = [
                beats.runtime.tasks.status(fired_id(schedule.schedule_id, at, Kind.DUE))
                for at in made
            ]
            assert {task.state for task in tasks} <= {State.SUCCEEDED, State.QUEUED}
            assert beats.now(schedule).fired == len(made)
            beats.kept.store.remove(schedule.schedule_id)
        step += 1
    assert step == steps + 1 >= 8
    rows = beats.runtime.tasks.list(limit=10_000)
    assert len({row.task_id for row in rows}) == len(rows)
