"""Three beats, of which one is killed every moment: each due time is fired once, none is missing."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from random import Random
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING

from chaos import clock
from chaos.outcome import Answer
from chaos.stage import PROCESSES
from datamcp import Task
from datamcp.scheduling.schedule import Kind, Outcome, Schedule, fired_id
from datamcp.tasks.states import State

if TYPE_CHECKING:
    from chaos.scenarios import Hall

_PERIODS = (1, 1, 1, 1, 2, 3, 5)  # seconds
_PAUSES = (0.5, 5.0)  # seconds between two kills
_MANY = 1_000_000
_BEATS = 3
_CATCH_UP = 10.0  # seconds in which the living make up for what they have missed
_END = 120.0  # seconds that the tasks have at the end


def beats(hall: "Hall", answer: Answer) -> None:
    """Let schedules fire every second while beats are killed; compare what ran with the clock."""
    kept = _schedules(hall)
    kills = _kill_for(hall, hall.scale.beating)
    hall.until(lambda: len(hall.crew.living(beats=True)) == _BEATS, _END)
    Event().wait(_CATCH_UP)
    ended = [_ended(hall, one) for one in kept]
    took = hall.until(lambda: hall.traces.unfinished() == 0, _END)
    runs, late, strangers = hall.traces.runs(), [0.0], set(hall.traces.runs())
    # A task may begin again where the database crashed while it ran; it ends once all the same.
    ends = Counter(
        move.task_id for move in hall.traces.moves() if move.became == State.SUCCEEDED != move.was
    )
    missing = doubled = due = wrong = 0
    for one in ended:
        times = _times(one, one.last_fire_at or one.created_at)
        due += len(times)
        counts = [ends[fired_id(one.schedule_id, at, Kind.DUE)] for at in times]
        missing += sum(count == 0 for count in counts)
        doubled += sum(count > 1 for count in counts)
        strangers -= {fired_id(one.schedule_id, at, Kind.DUE) for at in _times(one, one.updated_at)}
        firings = hall.runtime.schedules.store.firings(one.schedule_id, _MANY)
        late += [each.lateness or 0.0 for each in firings]
        noted = [each.fire_at for each in reversed(firings) if each.outcome is Outcome.FIRED]
        wrong += noted[: len(times)] != list(times)[: len(noted)]
    answer.figures |= {
        "seconds": hall.scale.beating,
        "schedules": len(kept),
        "kills": kills,
        "times": due,
        "begun again": sum(count > 1 for count in runs.values()),
        "latest (s)": round(max(late), 2),
        "seconds to the end": round(took, 2),
    }
    answer.expect("missing", missing, 0)
    answer.expect("doubled", doubled, 0)
    answer.expect("of no time", len(strangers), 0)
    answer.expect("schedules whose record is wrong", wrong, 0)


def _schedules(hall: "Hall") -> Sequence[Schedule]:
    scheduler = hall.runtime.scheduler.sync
    made = [
        scheduler.schedule_task(
            Task(task_type=f"{PROCESSES}.effect"), f"every {period}s", misfire="catch_up"
        )
        for period in _PERIODS
    ]
    return [scheduler.get_schedule(one) for one in made]


def _kill_for(hall: "Hall", seconds: float) -> int:
    """Kill one of the beats that live every moment, for so long; return how many that were."""
    rng, kills, began = Random("beats"), 0, monotonic()
    others = _others(hall)
    while monotonic() < began + seconds:
        Event().wait(rng.uniform(*_PAUSES))
        hall.crew.mend()
        while others and monotonic() > began + others[0][0] * seconds:
            others.pop(0)[1]()
        living = hall.crew.living(beats=True)
        if living:
            hall.crew.kill(rng.choice(living))
            kills += 1
    for _, act in others:  # what was broken is whole again at the end
        act()
    return kills


def _others(hall: "Hall") -> list[tuple[float, Callable[[], None]]]:
    """Return what else goes wrong, and after which part of the time: the clock, the database.

    The clock of processes is moved where schedules go by that of a server.
    """
    folder = hall.stage.folder
    found: list[tuple[float, Callable[[], None]]] = []
    is_elsewhere = hall.runtime.config.scheduler.persistence_backend != "file"
    if clock.why_not() is None and hall.stage.ledger == "postgresql" and is_elsewhere:
        found += [(0.2, lambda: clock.step(folder, 30)), (0.4, lambda: clock.step(folder, -30))]
        found += [(0.6, lambda: clock.step(folder, 0))]
    postgres = hall.stage.postgres
    if postgres is not None:
        found += [(0.7, hall.stage.crash_database), (0.75, postgres.restart)]
    return found


def _ended(hall: "Hall", schedule: Schedule) -> Schedule:
    """Let a schedule fire nothing more; return how far it has come."""
    return hall.runtime.scheduler.sync.pause_schedule(schedule.schedule_id)


def _times(schedule: Schedule, last: datetime) -> Sequence[datetime]:
    """Return all times of a schedule up to an instant, by arithmetic of our own."""
    period = timedelta(seconds=int(schedule.spec.schedule.removeprefix("every ").removesuffix("s")))
    count = (last - schedule.created_at) // period
    return [schedule.created_at + period * number for number in range(1, count + 1)]
