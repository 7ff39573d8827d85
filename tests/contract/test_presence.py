from datetime import timedelta

import pytest
from support.ledgers import HandClock, LedgerOnHand, new_id

from datamcp.infra.database import Database
from datamcp.presence.ledger import PresenceLedger
from datamcp.presence.process import SILENT_AFTER, Condition, Identity, ProcessKind, Seen

BUSY = Condition(concurrency=4, busy=2)


@pytest.fixture
def clock() -> HandClock:
    """Return a clock that is moved by hand."""
    return HandClock()


@pytest.fixture
def presence(shared_database: Database, clock: HandClock) -> PresenceLedger:
    """Return the ledger of processes, among rows of other tests."""
    return PresenceLedger(shared_database, now=clock)


def worker(process_id: str | None = None) -> Identity:
    """Return a worker that no other test has."""
    return Identity(
        process_id=process_id or new_id(),
        kind=ProcessKind.WORKER,
        host="here",
        pid=42,
        version="1",
        pool="lab",
        queues=("lab", "extra"),
        implementation="prefork",
    )


def found(presence: PresenceLedger, process_id: str) -> Seen | None:
    """Return what the ledger knows of a process."""
    return next((one for one in presence.all() if one.identity.process_id == process_id), None)


def test_what_a_process_says_is_kept(presence: PresenceLedger, clock: HandClock) -> None:
    """Each field comes back; its start is counted back from the database's clock."""
    identity = worker()
    presence.tell(identity, "a", 2.5, BUSY)
    assert found(presence, identity.process_id) == Seen(
        identity=identity,
        concurrency=4,
        busy=2,
        draining=False,
        started_at=clock.instant - timedelta(seconds=2.5),
        seen_at=clock.instant,
        swept_at=None,
    )
    assert presence.present([identity.process_id, "nobody"]) == {identity.process_id}


def test_a_beat_has_no_slots_and_tells_of_its_sweep(
    presence: PresenceLedger, clock: HandClock
) -> None:
    """Its last sweep is an instant of the database's, too."""
    beat = Identity(process_id=new_id(), kind=ProcessKind.BEAT, host="here", pid=1, version="1")
    presence.tell(beat, "a", 0, Condition(since_sweep=1.5))
    seen = found(presence, beat.process_id)
    assert seen is not None
    assert (seen.identity, seen.concurrency, seen.busy) == (beat, None, None)
    assert seen.swept_at == clock.instant - timedelta(seconds=1.5)


def test_a_sign_of_life_renews_the_row(presence: PresenceLedger, clock: HandClock) -> None:
    """What changes is new; its start stays, however exactly it is counted."""
    identity = worker()
    presence.tell(identity, "a", 0, BUSY)
    began = clock.instant
    clock.move(5)
    presence.tell(identity, "a", 5.001, Condition(concurrency=4, busy=0, draining=True))
    seen = found(presence, identity.process_id)
    assert seen is not None
    assert (seen.started_at, seen.seen_at) == (began, clock.instant)
    assert (seen.busy, seen.draining) == (0, True)


def test_another_start_takes_a_name_over(presence: PresenceLedger, clock: HandClock) -> None:
    """A name that is used again is a new process; the end of the old one removes nothing of it."""
    identity = worker()
    presence.tell(identity, "old", 100, BUSY)
    clock.move(5)
    presence.tell(identity, "new", 0, BUSY)
    presence.leave(identity.process_id, "old")
    seen = found(presence, identity.process_id)
    assert seen is not None
    assert seen.started_at == clock.instant


def test_a_process_that_ends_removes_its_row(presence: PresenceLedger) -> None:
    """By its own hand, or by that of one who knows that it is gone."""
    one, two = worker(), worker()
    presence.tell(one, "a", 0, BUSY)
    presence.tell(two, "b", 0, BUSY)
    presence.leave(one.process_id, "a")
    assert presence.present([one.process_id, two.process_id]) == {two.process_id}
    presence.remove([two.process_id])
    assert presence.present([two.process_id]) == set()
    presence.remove([])


def test_silence_is_judged_by_the_database_s_clock(
    presence: PresenceLedger, clock: HandClock
) -> None:
    """A process is silent once it has missed some signs of life, and not before."""
    identity = worker()
    presence.tell(identity, "a", 0, BUSY)
    seen = found(presence, identity.process_id)
    assert seen is not None
    assert not seen.is_silent(clock.instant + SILENT_AFTER)
    assert seen.is_silent(clock.instant + SILENT_AFTER + timedelta(milliseconds=1))


def test_the_long_silent_are_pruned_and_come_back_as_they_were(
    alone: LedgerOnHand,
) -> None:
    """A process that could not reach the database for long keeps its start."""
    presence = PresenceLedger(alone.ledger.database, now=alone.clock)
    lost, there = worker("lost"), worker("there")
    presence.tell(lost, "a", 0, BUSY)
    began = alone.clock.instant
    alone.clock.move(301)
    presence.tell(there, "b", 0, BUSY)
    assert presence.prune(timedelta(minutes=5)) == 1
    assert presence.present(["lost", "there"]) == {"there"}
    presence.tell(lost, "a", 301, BUSY)
    seen = found(presence, "lost")
    assert seen is not None
    assert seen.started_at == began
