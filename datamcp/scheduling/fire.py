"""What a beat does when schedules are due: take some, decide, make their tasks, move them on, send.

Whoever dies on the way leaves nothing behind that another beat would not put right: see
`datamcp.scheduling.store`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from datamcp.errors import BackendUnavailable, DatamcpError
from datamcp.scheduling.decide import Decision, decide, needs_last
from datamcp.scheduling.schedule import Firing, Outcome, Schedule
from datamcp.scheduling.start import Launch, Launched, Starters
from datamcp.scheduling.store import Move, ScheduleStore, Turn
from datamcp.telemetry import Telemetry

AT_ONCE = 500
"""Schedules that a beat takes at once."""
BUSY = 0.05
"""Seconds until the next look where others have taken all that is due."""
_MOST = 2000
"""Times that a turn fires; what more there is comes with the next one."""
_AGAIN = timedelta(seconds=60)  # until it is looked again at a schedule that can't be read


class Firer:
    """Fires what is due. For one thread."""

    def __init__(self, store: ScheduleStore, starters: Starters, telemetry: Telemetry) -> None:
        """Take the parts."""
        self._store = store
        self._starters = starters
        self._telemetry = telemetry

    def go(self) -> float | None:
        """Fire some of what is due; return the seconds until there is more, None if there is none.

        Raises BackendUnavailable; then the same is tried with the next call, by whoever makes it.
        """
        due_in = self._store.due_in()
        if due_in is None or due_in > 0:
            return due_in
        return 0.0 if self._fire() else BUSY

    def _fire(self) -> int:
        """Fire what one turn gets; return how many schedules that was."""
        with self._store.turn(AT_ONCE) as turn:
            if not turn.due:
                return 0
            with turn.ledger() as ledger:
                waited_for = [one for one in turn.due if needs_last(one)]
                running = self._starters.unfinished(ledger, waited_for) if waited_for else set()
                plans = self._plans(turn, running)
                launches = [launch for plan in plans for launch in plan.launches]
                launched = self._starters.insert(ledger, launches) if launches else Launched()
            turn.move([plan.move(turn.now, launched.failures) for plan in plans])
        self._tell(turn, plans, launched)
        for send in launched.sends:
            send()
        for plan in plans:
            self._cancel(plan)
        return len(plans)

    def _plans(self, turn: Turn, running: set[str]) -> list["_Plan"]:
        """Return what is to be done about the schedules of a turn, or the first of them."""
        plans: list[_Plan] = []
        count = 0
        for schedule in turn.due:
            plan = self._plan(schedule, turn.now, running)
            plans.append(plan)
            count += len(plan.decision.fire)
            if count >= _MOST:
                break
        return plans

    def _plan(self, schedule: Schedule, now: datetime, running: set[str]) -> "_Plan":
        try:
            decision = decide(schedule, now, is_running=schedule.fired_id in running)
        except Exception as error:  # noqa: BLE001  one schedule must not keep all others from firing
            reason = str(error) if isinstance(error, DatamcpError) else repr(error)
            decision = Decision(
                (), (), schedule.next_fire_at, schedule.buffered_at, due_at=now + _AGAIN
            )
            return _Plan(schedule, decision, error=reason)
        return _Plan(schedule, decision, [Launch(schedule, at) for at in decision.fire])

    def _tell(self, turn: Turn, plans: Sequence["_Plan"], launched: Launched) -> None:
        count = sum(len(plan.launches) for plan in plans)
        if count:
            late = max(plan.lateness(turn.now) or 0.0 for plan in plans)
            self._telemetry.emit("schedule.fired", count=count, late=late)
        for plan in plans:
            error = plan.error or next(
                filter(None, (launched.failures.get(one.fired_id) for one in plan.launches)), None
            )
            if error is not None:
                self._telemetry.emit("schedule.failed", schedule=plan.schedule.title, reason=error)

    def _cancel(self, plan: "_Plan") -> None:
        """Cancel what ran on; if the database is away just now, the next look does it."""
        schedule = plan.schedule
        if not plan.decision.cancels or schedule.fired_id is None:
            return
        try:
            self._starters.of(schedule.target).cancel(schedule.fired_id)
        except BackendUnavailable as error:
            self._telemetry.emit("schedule.delayed", reason=str(error))


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be done about a schedule."""

    schedule: Schedule
    decision: Decision
    launches: Sequence[Launch] = ()
    error: str | None = None

    def lateness(self, now: datetime) -> float | None:
        """Return by how many seconds what is fired last is late; None if nothing is, or it waited."""
        return self._late(self.decision.fire[-1], now) if self.decision.fire else None

    def _late(self, at: datetime, now: datetime) -> float | None:
        """Return by how many seconds a time is late; None if it waited for what was fired before."""
        if at == self.schedule.buffered_at:
            return None
        return max(0.0, (now - self.schedule.timing.due(at)).total_seconds())

    def move(self, now: datetime, failures: Mapping[str, str]) -> Move:
        """Return how the schedule goes on."""
        schedule, decision = self.schedule, self.decision
        changes: dict[str, object] = {
            "next_fire_at": decision.next_fire_at,
            "buffered_at": decision.buffered_at,
            "updated_at": now,
        }
        if self.error is not None:
            changes["error"] = self.error
        made = [one for one in self.launches if one.fired_id not in failures]
        failed = [failures[one.fired_id] for one in self.launches if one.fired_id in failures]
        if self.launches:
            changes["error"] = failed[-1] if failed else None
            changes["last_fire_at"] = self.launches[-1].fire_at
            changes["lateness"] = self.lateness(now)
        if made:
            changes["fired_id"] = made[-1].fired_id
            changes["fired"] = schedule.fired + len(made)
        return Move(
            schedule,
            schedule.model_copy(update=changes),
            decision.due_at,
            [*self._left_out(now), *self._firings(now, failures)],
        )

    def _left_out(self, now: datetime) -> list[Firing]:
        return [
            Firing(
                schedule_id=self.schedule.schedule_id,
                fire_at=at,
                outcome=outcome,
                recorded_at=now,
            )
            for at, outcome in self.decision.left_out
        ]

    def _firings(self, now: datetime, failures: Mapping[str, str]) -> list[Firing]:
        return [
            firing(
                launch,
                now,
                failures.get(launch.fired_id),
                lateness=self._late(launch.fire_at, now),
            )
            for launch in self.launches
        ]


def firing(
    launch: Launch, now: datetime, error: str | None = None, *, lateness: float | None = None
) -> Firing:
    """Return the record of a launch, of why it could not be made, and how late (s) that was."""
    return Firing(
        schedule_id=launch.schedule.schedule_id,
        fire_at=launch.fire_at,
        kind=launch.kind,
        outcome=Outcome.FIRED if error is None else Outcome.FAILED,
        fired_id=launch.fired_id if error is None else None,
        recorded_at=now,
        lateness=lateness,
        error=error,
    )
