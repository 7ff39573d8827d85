"""Plays one side after the other, each with servers of its own, made alike."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

import psutil

from benchmarks import machine
from benchmarks.schedules.load import Load, lead_of, next_minute
from benchmarks.schedules.outcome import Found, Outcome
from benchmarks.schedules.side import Side
from benchmarks.servers import Servers, running
from benchmarks.tally import WrongResultError
from datamcp.clock import SystemClock
from datamcp.infra.processes import Child

PATIENCE = 150.0
"""Seconds after the due instant that a side has."""

_POLL = 0.005  # seconds
_CALM = 3.0  # seconds that a beat has to be quiet, after which it has started
_QUIET = 0.1  # CPUs that it may use then
_STARTED = 0.3  # CPU seconds that no beat starts with less than
_EARLY = 0.5  # seconds before the due instant from which it is looked
_AFTER = 1.0  # seconds after the last message in which no further one may come
_STOP = 60.0  # seconds that a beat has to end


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be played: so many schedules, of which some are due; idle for so many seconds."""

    sides: Sequence[type[Side]]
    count: int
    due: int
    idle: float
    rounds: int


class Contest:
    """Plays a plan, and puts what it finds into an outcome."""

    def __init__(self, plan: Plan, outcome: Outcome, say: Callable[[str], None]) -> None:
        """Take the plan, where to put what is found, and who tells people of it."""
        self._plan = plan
        self._outcome = outcome
        self._say = say
        self._clock = SystemClock()

    def run(self) -> None:
        """Play all rounds."""
        for number in range(self._plan.rounds):
            for kind in self._plan.sides:
                self._say(f"round {number + 1}: {kind.name} ...")
                found = self._outcome.sides.setdefault(
                    kind.name, Found(seen_within=kind.seen_within, missing=kind.missing())
                )
                if found.missing is None:
                    self._play(kind, found)

    def _play(self, kind: type[Side], found: Found) -> None:
        with (
            TemporaryDirectory(prefix="datamcp-bench-") as name,
            running(Path(name)) as servers,
            closing(kind(servers, Path(name))) as side,
        ):
            self._outcome.machine = self._outcome.machine or machine.facts(servers)
            found.settings = dict(side.settings)
            plan = self._plan
            due_at = next_minute(self._clock.now(), lead_of(plan.count, plan.idle))
            side.keep(Load(plan.count, plan.due, due_at).entries)
            with _beat(side) as child:
                self._watch_idle(child, servers, due_at, found)
                self._watch_sending(side, servers, child, due_at, found)

    # Idle.

    def _watch_idle(self, child: Child, servers: Servers, due_at: datetime, found: Found) -> None:
        last = due_at - timedelta(seconds=self._plan.idle + _EARLY)
        beat = psutil.Process(child.pid)
        self._await_calm(beat, child, last)
        before, began = (_cpu(beat), _cpu_of(servers)), time.perf_counter()
        Event().wait(self._plan.idle)
        elapsed = time.perf_counter() - began
        found.idle.append((_cpu(beat) - before[0]) / elapsed)
        found.idle_servers.append((_cpu_of(servers) - before[1]) / elapsed)
        found.memory.append(beat.memory_info().rss)

    def _await_calm(self, beat: psutil.Process, child: Child, last: datetime) -> None:
        """Wait until the beat has started, and has nothing left to do for now."""
        before = 0.0
        while True:
            Event().wait(_CALM)
            _require_alive(child)
            if self._clock.now() > last:
                raise WrongResultError(f"{child.name} was not ready in time:\n{child.log_tail(20)}")
            now = _cpu(beat)
            if now > _STARTED and now - before < _QUIET * _CALM:
                return
            before = now

    # Sending.

    def _watch_sending(
        self, side: Side, servers: Servers, child: Child, due_at: datetime, found: Found
    ) -> None:
        Event().wait(max(0.0, (due_at - self._clock.now()).total_seconds() - _EARLY))
        before, began = _cpu_of_others(servers, child), time.perf_counter()
        first: float | None = None
        wanted = self._plan.due
        while True:
            count = side.ready()
            since = (self._clock.now() - due_at).total_seconds()
            if count and first is None:
                first = since
            if count >= wanted or since > PATIENCE:
                break
            _require_alive(child)
            Event().wait(_POLL)
        if first is not None and first < 0:
            raise WrongResultError(f"{side.name} sent {-first:.3f} s before anything was due")
        others = _cpu_of_others(servers, child) - before
        found.others.append(max(others, 0.0) / (time.perf_counter() - began))
        found.first.append(first)
        found.last.append(since if count >= wanted else None)
        found.sent.append(count)
        if count >= wanted:
            Event().wait(_AFTER)
            _require_just(side, wanted)


@contextmanager
def _beat(side: Side) -> Iterator[Child]:
    child = side.start()
    try:
        yield child
    finally:
        child.stop(_STOP)


def _require_alive(child: Child) -> None:
    if not child.is_alive:
        raise WrongResultError(f"{child.name} has ended:\n{child.log_tail(20)}")


def _require_just(side: Side, wanted: int) -> None:
    count = side.ready()
    if count != wanted:
        raise WrongResultError(f"{side.name} sent {count:,} messages, and {wanted:,} were due")


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _cpu_of_others(servers: Servers, child: Child) -> float:
    """Return the CPU seconds of whatever else runs on this machine."""
    times = psutil.cpu_times()
    busy = times.user + times.nice + times.system + getattr(times, "irq", 0.0)
    busy += getattr(times, "softirq", 0.0) + getattr(times, "steal", 0.0)
    own = _cpu(psutil.Process()) + _cpu(psutil.Process(child.pid)) + _cpu_of(servers)
    return float(busy) - own


def _cpu_of(servers: Servers) -> float:
    """Return the CPU seconds of the broker and of PostgreSQL with its processes."""
    total = 0.0
    for pid in filter(None, (servers.broker_pid, servers.database_pid)):
        process = psutil.Process(pid)
        times = process.cpu_times()
        total += _cpu(process) + float(times.children_user + times.children_system)
        total += sum(_cpu(child) for child in process.children(recursive=True))
    return total
