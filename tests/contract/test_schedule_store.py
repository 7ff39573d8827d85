"""One suite for every place where schedules are kept."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import copyfile

import pytest
from support.databases import TestDatabases
from support.schedules import STORES, StoreOnHand, store_at_hand

from datamcp.errors import BackendUnavailable, ScheduleExistsError
from datamcp.infra.database import Database
from datamcp.scheduling.redis_store import HELD
from datamcp.scheduling.schedule import Firing, Kind, Outcome, Schedule, Source
from datamcp.scheduling.store import Move
from datamcp.testing import FakeClock

START = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture(params=STORES)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreOnHand]:
    """Have a store of each kind, and a clock for it."""
    kind = request.param
    if kind == "postgresql":
        databases: TestDatabases = request.getfixturevalue("databases")
        with databases.database(template=request.getfixturevalue("postgresql_template")) as url:
            yield from _kept(kind, request, tmp_path, url)
        return
    copyfile(request.getfixturevalue("sqlite_template"), tmp_path / "ledger.db")
    yield from _kept(kind, request, tmp_path, f"sqlite:///{tmp_path / 'ledger.db'}")


def _kept(
    kind: str, request: pytest.FixtureRequest, folder: Path, url: str
) -> Iterator[StoreOnHand]:
    ledger = Database(url)
    with store_at_hand(kind, request, folder, ledger, FakeClock(START)) as found:
        yield found
    ledger.close()


def firing(schedule: Schedule, second: float, outcome: Outcome = Outcome.FIRED) -> Firing:
    """Return a record of a time."""
    fire_at = START + timedelta(seconds=second)
    return Firing(
        schedule_id=schedule.schedule_id,
        fire_at=fire_at,
        kind=Kind.DUE,
        outcome=outcome,
        fired_id=f"task-{second}",
        recorded_at=fire_at,
    )


def moved(schedule: Schedule, seconds: float, *firings: Firing) -> Move:
    """Return a move that makes a schedule due some seconds after the start."""
    due = START + timedelta(seconds=seconds)
    return Move(schedule, schedule.model_copy(update={"next_fire_at": due}), due, firings)


class TestKeeping:
    def test_what_is_kept_is_found_as_it_was(self, kept: StoreOnHand) -> None:
        """By its id and by its name; an id counts first."""
        one = kept.add(name="nightly", timezone="Europe/Berlin", jitter=3.5, end=START)
        assert kept.store.get(one.schedule_id) == one
        assert kept.store.get("nightly") == one
        other = kept.add(name=one.schedule_id)
        assert kept.store.get(one.schedule_id) == one
        assert kept.store.get(other.schedule_id) == other
        assert kept.store.get("nobody") is None

    def test_a_name_and_an_id_are_taken_once(self, kept: StoreOnHand) -> None:
        """The second one is refused, and changes nothing."""
        one = kept.add(name="nightly")
        with pytest.raises(ScheduleExistsError, match="nightly"):
            kept.add(name="nightly")
        with pytest.raises(ScheduleExistsError):
            kept.add(schedule_id=one.schedule_id)
        assert list(kept.store.list()) == [one]
        kept.add()
        kept.add()  # without a name there may be many

    def test_they_are_listed_by_name(self, kept: StoreOnHand) -> None:
        """Those without one come last; one source can be asked for."""
        for name in ("b", None, "a"):
            kept.add(name=name, schedule_id=f"id-{name}")
        configured = kept.new(name="c").model_copy(update={"source": Source.CONFIG})
        kept.store.add(configured, None)
        assert [one.name for one in kept.store.list()] == ["a", "b", "c", None]
        assert list(kept.store.list(Source.CONFIG)) == [configured]

    def test_a_change_counts_once(self, kept: StoreOnHand) -> None:
        """Whoever saw it as it was before is told that it is not so any more."""
        one = kept.add(name="nightly")
        assert kept.store.replace(moved(one, 40, firing(one, 30)))
        assert not kept.store.replace(moved(one, 50, firing(one, 45)))
        found = kept.store.get("nightly")
        assert found is not None
        assert found.version == one.version + 1
        assert found.next_fire_at == START + timedelta(seconds=40)
        assert [each.fire_at.second for each in kept.store.firings(one.schedule_id, 10)] == [30]
        assert kept.store.replace(moved(found, 60))

    def test_what_is_removed_is_gone(self, kept: StoreOnHand) -> None:
        """With its name, its times, and what became of them."""
        one = kept.add(name="nightly")
        kept.store.replace(moved(one, 40, firing(one, 30)))
        assert kept.store.remove(one.schedule_id)
        assert not kept.store.remove(one.schedule_id)
        assert kept.store.get("nightly") is None
        assert kept.store.due_in() is None
        assert not kept.store.firings(one.schedule_id, 10)
        assert not kept.store.replace(moved(one, 50))
        kept.add(name="nightly")

    def test_firings_come_newest_first(self, kept: StoreOnHand) -> None:
        """As many as are asked for; each as it was noted."""
        one = kept.add()
        noted = [firing(one, second, Outcome.SKIPPED) for second in (10, 20, 30)]
        kept.store.replace(moved(one, 40, *noted))
        assert list(kept.store.firings(one.schedule_id, 2)) == [noted[2], noted[1]]


class TestDue:
    def test_the_first_one_says_how_long_it_takes(self, kept: StoreOnHand) -> None:
        """Less than nothing, if it is late; nothing for what is paused, or over."""
        assert kept.store.due_in() is None
        kept.add("every 30s")
        kept.add("every 10s")
        kept.add("every 1s", paused=True)
        kept.store.add(kept.new().model_copy(update={"next_fire_at": None}), None)
        assert kept.store.due_in() == 10
        kept.clock.advance(seconds=12)
        assert kept.store.due_in() == -2
        outlook = kept.store.outlook()
        assert (outlook.count, outlook.paused, outlook.due_in) == (4, 1, -2)

    def test_a_turn_gets_what_is_due(self, kept: StoreOnHand) -> None:
        """The longest first, no more than it takes; none that is due later."""
        late, later, _ = kept.add("every 10s"), kept.add("every 11s"), kept.add("every 60s")
        kept.clock.advance(seconds=20)
        with kept.store.turn(10) as turn:
            assert [one.schedule_id for one in turn.due] == [late.schedule_id, later.schedule_id]
            assert turn.now == kept.clock.now()
            turn.move([moved(one, 100) for one in turn.due])
        with kept.store.turn(10) as turn:
            assert not turn.due
        assert kept.store.due_in() == 40

    def test_a_turn_takes_no_more_than_it_may(self, kept: StoreOnHand) -> None:
        """The rest is there for the next one."""
        ids = [kept.add(f"every {seconds}s").schedule_id for seconds in (1, 2, 3)]
        kept.clock.advance(seconds=5)
        seen = []
        for _ in range(3):
            with kept.store.turn(1) as turn:
                seen += [one.schedule_id for one in turn.due]
                turn.move([moved(one, 100) for one in turn.due])
        assert seen == ids

    def test_two_turns_never_get_the_same(self, kept: StoreOnHand) -> None:
        """What one has, another passes over; SQLite lets nobody else in meanwhile."""
        if kept.kind in {"sqlite", "file"}:
            pytest.skip("the second turn waits for the first")
        ids = {kept.add(f"every {seconds}s").schedule_id for seconds in (1, 2, 3)}
        kept.clock.advance(seconds=5)
        with kept.store.turn(2) as one, kept.store.turn(10) as other:
            assert len(one.due) == 2
            assert {each.schedule_id for each in (*one.due, *other.due)} == ids
            assert len(other.due) == 1

    def test_what_a_turn_did_not_move_comes_again(self, kept: StoreOnHand) -> None:
        """At once if it was given up, and else once whoever has it may be dead."""
        one = kept.add("every 1s")
        kept.clock.advance(seconds=5)
        with suppress(BackendUnavailable), kept.store.turn(1) as turn:
            assert turn.due
            raise BackendUnavailable("database", "on purpose")
        with kept.store.turn(1) as turn:
            assert [each.schedule_id for each in turn.due] == [one.schedule_id]
        kept.clock.advance(HELD)
        with kept.store.turn(1) as turn:
            assert [each.schedule_id for each in turn.due] == [one.schedule_id]

    def test_a_change_during_a_turn_stays(self, kept: StoreOnHand) -> None:
        """The move is for what was, but what was made is noted; where rows are locked, it waits."""
        if kept.kind != "redis":
            pytest.skip("the row is locked")
        one = kept.add("every 1s", name="edited")
        kept.clock.advance(seconds=5)
        with kept.store.turn(1) as turn:
            assert kept.store.replace(moved(one, 77))
            turn.move([moved(turn.due[0], 6, firing(one, 1))])
        found = kept.store.get("edited")
        assert found is not None
        assert found.next_fire_at == START + timedelta(seconds=77)
        assert len(kept.store.firings(one.schedule_id, 10)) == 1
        assert kept.store.due_in() == 72

    def test_a_time_is_noted_once(self, kept: StoreOnHand) -> None:
        """Also where it is noted again after a crash."""
        if kept.kind == "redis":
            pytest.skip("there the version tells")
        one = kept.add()
        kept.store.replace(moved(one, 40, firing(one, 30)))
        again = kept.store.get(one.schedule_id)
        assert again is not None
        kept.store.replace(moved(again, 50, firing(one, 30, Outcome.MISSED)))
        (noted,) = kept.store.firings(one.schedule_id, 10)
        assert noted.outcome is Outcome.FIRED

    def test_a_thousand_move_together(self, kept: StoreOnHand) -> None:
        """All of them, whatever the store has to say of it in one statement."""
        for number in range(1000):
            kept.add("every 1s", name=f"number {number:04}")
        kept.clock.advance(seconds=2)
        with kept.store.turn(1000) as turn:
            assert len(turn.due) == 1000
            turn.move([moved(one, 500, firing(one, 1)) for one in turn.due])
        assert kept.store.due_in() == 498
        assert all(len(kept.store.firings(one.schedule_id, 2)) == 1 for one in turn.due[::100])


class TestPruning:
    def test_what_is_over_goes_after_a_while(self, kept: StoreOnHand) -> None:
        """Not what still has times, is paused, or is written down somewhere."""
        over = {"next_fire_at": None}
        gone = kept.new(name="gone").model_copy(update=over)
        declared = kept.new(name="declared").model_copy(update={**over, "source": Source.CONFIG})
        paused = kept.new(name="paused", paused=True)
        for one in (gone, declared, paused):
            kept.store.add(one, None)
        kept.add(name="goes on")
        kept.clock.advance(seconds=100)
        assert kept.store.prune(200, 100) == 0
        assert kept.store.prune(50, 100) == 1
        assert [one.name for one in kept.store.list()] == ["declared", "goes on", "paused"]

    def test_old_firings_go(self, kept: StoreOnHand) -> None:
        """By their age; in Redis by their number."""
        if kept.kind == "redis":
            pytest.skip("there each schedule keeps so many")
        one = kept.add()
        kept.store.replace(moved(one, 90, firing(one, 10), firing(one, 80)))
        kept.clock.advance(seconds=100)
        assert kept.store.prune(50, 100) == 1
        assert [each.fire_at.second for each in kept.store.firings(one.schedule_id, 9)] == [20]
        assert kept.store.prune(0, 0) == 0
