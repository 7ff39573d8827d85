"""Make, change and look at schedules: what the façade, the command line and beat go through."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import Any

from datamcp.clock import Clock
from datamcp.errors import (
    BackendUnavailable,
    ConfigError,
    DatamcpError,
    InvalidScheduleError,
    ScheduleError,
    ScheduleNotFoundError,
)
from datamcp.infra.database import Database
from datamcp.naming import did_you_mean
from datamcp.scheduling.decide import due_at
from datamcp.scheduling.fire import firing
from datamcp.scheduling.schedule import (
    MAX_NAME,
    TIMES,
    Firing,
    Kind,
    Schedule,
    Source,
    Spec,
    declared_id,
    spec_of,
)
from datamcp.scheduling.start import Launch, Starters
from datamcp.scheduling.store import Move, ScheduleStore
from datamcp.scheduling.target import Target
from datamcp.types import new_id

MOST_BACKFILLED = 100_000
"""Times that one backfill may fire."""
_TICK = timedelta(microseconds=1)
_PORTION = 500  # times that are fired in one transaction
_TRIES = 20  # of a change that others come before


@dataclass(frozen=True, slots=True)
class Declared:
    """A schedule that is written down somewhere: in the configuration, a pipeline, a Celery app."""

    name: str
    source: Source
    spec: Spec
    target: Target


@dataclass(frozen=True, slots=True)
class Synced:
    """What bringing the store up to date has changed, by names; why others could not be taken over."""

    changed: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


class Schedules:
    """The schedules of an installation. Safe to share between threads."""

    def __init__(
        self,
        store: ScheduleStore,
        starters: Starters,
        *,
        ledger: Database,
        clock: Clock,
        changed: Callable[[], None],
        is_kept: bool = True,
    ) -> None:
        """Take the parts; `changed` tells every beat to look again.

        With `is_kept` False the store is gone with this process, and takes nothing from elsewhere.
        """
        self._is_kept = is_kept
        self.store = store
        self._starters = starters
        self._ledger = ledger
        self._clock = clock
        self._changed = changed

    def add(
        self,
        spec: Spec,
        target: Target,
        *,
        name: str | None = None,
        schedule_id: str | None = None,
        note: str = "",
        paused: bool = False,
    ) -> Schedule:
        """Keep a new schedule.

        Raises InvalidScheduleError if its times are all in the past, ScheduleExistsError, and
        whatever is wrong with what it is to fire.
        """
        if not self._is_kept:
            raise ConfigError(
                "schedules are not kept (scheduler.enable_persistence is false), so only those of "
                "the configuration, of pipelines and of Celery's beat_schedule are fired"
            )
        if name is not None and not 0 < len(name) <= MAX_NAME:
            raise InvalidScheduleError(name, f"a name has from 1 to {MAX_NAME} characters")
        new = self._new(
            schedule_id or new_id(self._clock.now()), spec, target, Source.API, name=name
        )
        if new.next_fire_at is None:
            raise InvalidScheduleError(
                spec.schedule, f"{spec.schedule!r} names no time that is still to come"
            )
        new = new.model_copy(update={"note": note, "paused": paused})
        self.store.add(new, due_at(new, new.created_at))
        self._changed()
        return new

    def _new(
        self, schedule_id: str, spec: Spec, target: Target, source: Source, *, name: str | None
    ) -> Schedule:
        self._starters.of(target).check(target)
        now = self.store.now()
        new = Schedule(
            schedule_id=schedule_id,
            name=name,
            source=source,
            spec=spec,
            target=target,
            created_at=now,
            updated_at=now,
        )
        return new.model_copy(update={"next_fire_at": new.timing.after(now)})

    def get(self, key: str) -> Schedule:
        """Return a schedule by its id or its name; raises ScheduleNotFoundError."""
        found = self.store.get(key)
        if found is None:
            known = [one.name for one in self.store.list() if one.name is not None]
            raise ScheduleNotFoundError(key, did_you_mean(key, known))
        return found

    def list(self, source: Source | None = None) -> Sequence[Schedule]:
        """Return all schedules, or those of one source."""
        return self.store.list(source)

    def update(self, key: str, changes: Mapping[str, Any]) -> Schedule:
        """Change fields of a schedule's spec, its `target` or its `note`.

        Where its times change, the next one is the first that is still to come. Raises
        ScheduleError for a schedule that is declared elsewhere: it would be changed back.
        """

        def change(before: Schedule, now: datetime) -> Schedule:
            _require_ours(before)
            given = dict(changes)
            target = given.pop("target", before.target)
            note = given.pop("note", before.note)
            spec = spec_of(**{**before.spec.model_dump(), **given})
            self._starters.of(target).check(target)
            after = before.model_copy(update={"spec": spec, "target": target, "note": note})
            return _retimed(before, after, now)

        return self._change(key, change)

    def pause(self, key: str, note: str | None = None) -> Schedule:
        """Let a schedule fire nothing until it is resumed; times that pass meanwhile are left out."""
        return self._change(key, lambda before, _: _paused(before, is_paused=True, note=note))

    def resume(self, key: str, note: str | None = None) -> Schedule:
        """Let a paused schedule go on, with the first time that is still to come."""

        def change(before: Schedule, now: datetime) -> Schedule:
            after = _paused(before, is_paused=False, note=note)
            following = before.timing.after(now) if before.paused else before.next_fire_at
            return after.model_copy(update={"next_fire_at": following})

        return self._change(key, change)

    def remove(self, key: str) -> None:
        """Forget a schedule; what it has fired goes on. Raises ScheduleNotFoundError."""
        found = self.get(key)
        _require_ours(found)
        if not self.store.remove(found.schedule_id):
            raise ScheduleNotFoundError(key)
        self._changed()

    def run_now(self, key: str) -> str:
        """Fire a schedule at once, whatever its times and policies say; return what it made."""
        # The task first: if this process dies in between, it is there, and only the note is not.
        schedule = self.get(key)
        launch = Launch(schedule, self.store.now(), Kind.RUN_NOW)
        self._launch([launch])
        self._change(
            schedule.schedule_id,
            lambda before, _: before.model_copy(
                update={"fired_id": launch.fired_id, "fired": before.fired + 1}
            ),
            firings=[firing(launch, launch.fire_at)],
        )
        return launch.fired_id

    def backfill(self, key: str, since: datetime, until: datetime) -> Sequence[str]:
        """Fire all times from `since` up to, and without, `until`; return what was made, in order.

        The same times again make nothing new. Raises InvalidScheduleError for more than 100,000
        times, with nothing fired.
        """
        schedule = self.get(key)
        times = self.times_between(schedule, since, until)
        launches = [Launch(schedule, at, Kind.BACKFILL) for at in times]
        for start in range(0, len(launches), _PORTION):
            some = launches[start : start + _PORTION]
            count = self._launch(some)
            now = self.store.now()
            self._change(
                schedule.schedule_id,
                lambda before, _, count=count: before.model_copy(  # type: ignore[misc]
                    update={"fired": before.fired + count}
                ),
                firings=[firing(one, now) for one in some],
            )
        return [launch.fired_id for launch in launches]

    def times_between(
        self, schedule: Schedule, since: datetime, until: datetime
    ) -> Sequence[datetime]:
        """Return the times from `since` up to, and without, `until`."""
        timing = schedule.timing
        first = timing.when.after(since - _TICK, timing.zone, timing.anchor)
        while first is not None and timing.start is not None and first < timing.start:
            first = timing.after(first)
        times = takewhile(lambda at: at < until, timing.times(first))
        found = list(islice(times, MOST_BACKFILLED + 1))
        if len(found) > MOST_BACKFILLED:
            raise InvalidScheduleError(
                schedule.spec.schedule,
                f"more than {MOST_BACKFILLED:,} times are in that range; take a shorter one",
            )
        return found

    def firings(self, key: str, limit: int = 20) -> Sequence[Firing]:
        """Return what became of a schedule's times, the newest first."""
        return self.store.firings(self.get(key).schedule_id, limit)

    def problems(self, declared: Sequence[Declared]) -> dict[str, str]:
        """Return why some of these schedules could fire nothing, by their names."""
        found = {}
        for one in declared:
            try:
                self._starters.of(one.target).check(one.target)
            except DatamcpError as error:
                found[one.name] = str(error)
        return found

    def sync(
        self, source: Source, declared: Sequence[Declared], *, leave: Collection[str] = ()
    ) -> Synced:
        """Bring what is kept of a source up to what is declared there.

        Whoever does so at the same time comes to the same. One that can't be taken over keeps no
        other from it, and stays as it was; so do those whose names are to be left.
        """
        synced = Synced()
        before = {one.schedule_id: one for one in self.store.list(source)}
        for name in leave:
            before.pop(declared_id(source, name), None)
        for one in declared:
            known = before.pop(declared_id(source, one.name), None)
            try:
                if self._take_over(one, known):
                    synced.changed.append(one.name)
            except BackendUnavailable:
                raise
            except DatamcpError as error:
                synced.refused[one.name] = str(error)
        for left in before.values():
            self.store.remove(left.schedule_id)
            synced.changed.append(left.title)
        if synced.changed:
            self._changed()
        return synced

    def _take_over(self, one: Declared, known: Schedule | None) -> bool:
        """Bring one schedule up to what is declared; tell whether that changed anything."""
        if known is None:
            self._declare(one)
        elif (known.spec, known.target) != (one.spec, one.target):
            self._redeclare(known, one)
        else:
            return False
        return True

    def declare(self, source: Source, name: str, one: Declared | None) -> None:
        """Bring one schedule up to what is declared; None if it is declared no more.

        Raises what is wrong with it.
        """
        known = self.store.get(declared_id(source, name))
        if one is None:
            if known is not None:
                self.store.remove(known.schedule_id)
        else:
            self._take_over(one, known)
        if one is not None or known is not None:
            self._changed()

    def _declare(self, one: Declared) -> None:
        schedule_id = declared_id(one.source, one.name)
        new = self._new(schedule_id, one.spec, one.target, one.source, name=one.name)
        try:
            self.store.add(new, due_at(new, new.created_at))
        except ScheduleError:
            if self.store.get(schedule_id) is None:  # it is the name that is taken
                raise

    def _redeclare(self, known: Schedule, one: Declared) -> None:
        self._starters.of(one.target).check(one.target)

        def change(before: Schedule, now: datetime) -> Schedule:
            after = before.model_copy(update={"spec": one.spec, "target": one.target})
            return _retimed(before, after, now)

        self._change(known.schedule_id, change)

    def _launch(self, launches: Sequence[Launch]) -> int:
        """Make what some times fire, all or none; return how much of it is new.

        Raises ScheduleError if one can't be made.
        """
        with self._ledger.transaction() as connection:
            launched = self._starters.insert(connection, launches)
            for error in launched.failures.values():
                raise ScheduleError(f"{launches[0].schedule.title}: {error}")
        for send in launched.sends:
            send()
        return launched.new

    def _change(
        self,
        key: str,
        change: Callable[[Schedule, datetime], Schedule],
        firings: Sequence[Firing] = (),
    ) -> Schedule:
        """Change a schedule; again if somebody else has done so meanwhile."""
        for _ in range(_TRIES):
            before, now = self.get(key), self.store.now()
            after = change(before, now).model_copy(update={"updated_at": now})
            if self.store.replace(Move(before, after, due_at(after, now), firings)):
                self._changed()
                return after.model_copy(update={"version": before.version + 1})
        raise BackendUnavailable("schedules", f"{key!r} was changed by others {_TRIES} times")


def _require_ours(schedule: Schedule) -> None:
    places = {
        Source.CONFIG: "in the configuration (`schedules`)",
        Source.CELERY: "in the Celery app (`beat_schedule`)",
        Source.PIPELINE: "in its pipeline (`schedule`)",
    }
    place = places.get(schedule.source)
    if place is not None:
        raise ScheduleError(
            f"schedule {schedule.title!r} is declared {place}: change it there; "
            "it can be paused here"
        )


def _retimed(before: Schedule, after: Schedule, now: datetime) -> Schedule:
    """Return a changed schedule with its next time, where the change is one of times."""
    is_retimed = any(getattr(before.spec, name) != getattr(after.spec, name) for name in TIMES)
    if not is_retimed:
        return after
    return after.model_copy(update={"next_fire_at": after.timing.after(now)})


def _paused(before: Schedule, *, is_paused: bool, note: str | None) -> Schedule:
    changes: dict[str, Any] = {"paused": is_paused}
    if note is not None:
        changes["note"] = note
    if is_paused:
        changes["buffered_at"] = None
    return before.model_copy(update=changes)
