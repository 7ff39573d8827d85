"""The processes of a stack: started, started anew when they die, ended in order."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from datamcp.clock import Clock, SystemClock
from datamcp.config.settings import GlobalConfig
from datamcp.config.text import child_environment
from datamcp.errors import BackendUnavailable, ConfigError, DatamcpError, StackError
from datamcp.infra.celery import host
from datamcp.infra.embedded.valkey import EmbeddedValkey
from datamcp.infra.identity import birth
from datamcp.infra.processes import Child, Exit, Supervisor
from datamcp.presence.alive import AliveFile
from datamcp.stack import logs
from datamcp.stack.leftovers import Leftovers, clear
from datamcp.stack.lock import sole_stack
from datamcp.stack.process import BROKER, Kind, Process
from datamcp.stack.record import ProcessRecord, StackRecord, remove, write
from datamcp.stack.restarts import MAX_RESTARTS, deaths_in_a_row, delay, error_of, is_hopeless

STOP_TIMEOUT = 10.0  # seconds that processes have for ending by themselves, unless said


@dataclass(frozen=True, slots=True)
class Died:
    """A process has died, or could not be started, and starts anew in so many seconds."""

    name: str
    reason: str
    delay: float
    process_id: str | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """A process was started."""

    name: str
    pid: int
    process_id: str | None = None


Event = Died | Started


@dataclass(slots=True)
class _Life:
    """What becomes of one process of the stack."""

    process: Process | None  # None: the broker, whose command is its own
    starts: int = 0
    deaths: int = 0
    began: float = 0.0
    next_start: float | None = None  # while it is dead
    record: ProcessRecord = field(default_factory=lambda: ProcessRecord(name="", kind=Kind.WORKER))


class Stack:
    """Starts and watches the processes; as a context manager, leaves none behind.

    Every process is started, and must be, from the thread that enters the block (`infra.leash`).
    """

    def __init__(
        self,
        config: GlobalConfig,
        processes: Sequence[Process],
        *,
        overrides: Mapping[str, str] | None = None,
        keeps_messages: bool = False,
        clock: Clock | None = None,
    ) -> None:
        """Take the configuration, what to run, and the settings that override it.

        With `keeps_messages`, an embedded broker's data stay in the state folder.
        """
        self.config = config
        self.folder = Path(config.system.state_dir)
        self.logs = self.folder / "logs"
        self.is_lasting = False
        """Whether it never gives up: set it once all is well."""
        self.leftovers: Leftovers | None = None
        """What the last stack of this folder left, if it was killed; known in the block."""
        self.last_record: StackRecord | None = None
        """What is left for the next stack of this folder, if anything is."""
        self._overrides = dict(overrides or {})
        self._keeps_messages = keeps_messages
        self._clock = clock or SystemClock()
        self._started_at, self._birth = self._clock.now(), birth(os.getpid())
        self._valkey: EmbeddedValkey | None = None
        self._supervisor = Supervisor(stop_timeout=STOP_TIMEOUT)
        self._cleanup = ExitStack()
        self._lives = {process.name: _Life(process) for process in processes}
        self._lost_broker = False
        self.pids: dict[str, list[int]] = {name: [] for name in self._lives}
        """Every process id that each process has had."""

    def __enter__(self) -> Self:
        """Start the broker, unless one is configured. `start` starts the rest."""
        with ExitStack() as cleanup:
            cleanup.enter_context(sole_stack(self.folder))
            self.leftovers = clear(self.folder)
            logs.begin(self.logs)
            cleanup.callback(self._leave_record)
            if self.config.broker.url is None:
                self._valkey = cleanup.enter_context(self._embedded())
                self._lives[BROKER] = _Life(None)
                self._note_start(BROKER, self._valkey.pid)
            cleanup.enter_context(self._supervisor)
            cleanup.callback(self._remove_heartbeats)
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop every process, the broker last."""
        self._cleanup.__exit__(kind, error, trace)

    @property
    def broker_url(self) -> str:
        """Where the broker is."""
        return str(self.config.broker.url) if self._valkey is None else self._valkey.broker_url

    def start(self) -> list[Event]:
        """Start all processes."""
        return [self._start(name) for name in self._lives if name != BROKER]

    def tend(self) -> list[Event]:
        """Start anew what has died, the broker too, once it is time; return what happened.

        Raises StackError where that is hopeless, unless the stack `is_lasting`: a process refused
        to start at all, or one has died too often.
        """
        now = self._clock.monotonic()
        events: list[Event] = [self._bury(ended, now) for ended in self._newly_dead()]
        due = [
            name
            for name, life in self._lives.items()
            if life.next_start is not None and life.next_start <= now
        ]
        return [*events, *(self._start(name) for name in due)]

    def records(self) -> tuple[ProcessRecord, ...]:
        """Return what there is to tell of each process."""
        return tuple(life.record for life in self._lives.values())

    def record(self) -> StackRecord:
        """Return what there is to tell to other commands of the folder."""
        return StackRecord(
            pid=os.getpid(),
            birth=self._birth,
            host=host(),
            started_at=self._started_at,
            logs=self.logs.absolute(),
            broker_url=self.broker_url,
            database_url=str(self.config.storage.database_url),
            processes=self.records(),
        )

    def stop(
        self,
        kinds: Sequence[Kind] = (Kind.BEAT, Kind.FLOWER, Kind.WORKER),
        timeout: float = STOP_TIMEOUT,
        *,
        is_urgent: Callable[[], bool] = lambda: False,
    ) -> list[Exit]:
        """Stop the processes of these kinds, none of which is the broker; return how they ended.

        They have `timeout` seconds together, unless it becomes urgent, and are killed then. What
        is stopped is not started anew.
        """
        names = [name for name, life in self._lives.items() if life.record.kind in kinds]
        for name in names:
            self._lives[name].next_start = None
        return self._supervisor.stop(names, timeout, is_urgent=is_urgent)

    def alive(self, kind: Kind) -> list[str]:
        """Return the processes of a kind that run."""
        return [
            name
            for name, life in self._lives.items()
            if life.record.kind is kind and self.pids.get(name) and self._child(name).is_alive
        ]

    def _embedded(self) -> EmbeddedValkey:
        if not self._keeps_messages:
            return EmbeddedValkey()
        folder = self.folder / BROKER
        folder.mkdir(mode=0o700, exist_ok=True)
        return EmbeddedValkey(data_dir=folder, log_path=self.logs / f"{BROKER}.log")

    def _newly_dead(self) -> list[Exit]:
        exits = self._supervisor.exits()
        broker = None if self._valkey is None else self._valkey.ended
        if broker is not None:
            self._lost_broker = True
            exits.insert(0, broker)
        return [ended for ended in exits if self._lives[ended.name].record.pid == ended.pid]

    def _bury(self, ended: Exit, now: float) -> Died:
        name, life = ended.name, self._lives[ended.name]
        process_id = life.record.process_id
        if process_id is not None:
            AliveFile(self.folder, process_id).remove()
        if not self.is_lasting:
            self._refuse_hopeless(ended, life)
        return self._await_next_start(name, str(ended), now, process_id)

    def _await_next_start(
        self, name: str, reason: str, now: float, process_id: str | None = None
    ) -> Died:
        life = self._lives[name]
        life.deaths = deaths_in_a_row(life.deaths, now - life.began)
        if not self.is_lasting and life.deaths > MAX_RESTARTS:
            raise StackError(f"{reason}{self._log_of(name)} (started {life.starts} times)")
        pause = delay(life.deaths)
        life.next_start = now + pause
        life.record = life.record.model_copy(
            update={
                "pid": None,
                "birth": None,
                "starts_at": self._clock.now() + timedelta(seconds=pause),
            }
        )
        return Died(name, reason, pause, process_id)

    def _refuse_hopeless(self, ended: Exit, life: _Life) -> None:
        if life.process is None or not is_hopeless(
            ended.code, starts=life.starts, lost_broker=self._lost_broker
        ):
            return
        told = error_of(self._child(ended.name).written())
        if told is None:
            raise StackError(f"{ended}{self._log_of(ended.name)}", ended.code)
        raise StackError(f"{told} ({ended.name} did not start)", ended.code)

    def _log_of(self, name: str) -> str:
        is_ours = name in self.pids
        return f"; its log is {self._child(name).log_path}" if is_ours else ""

    def _start(self, name: str) -> Event:
        life, now = self._lives[name], self._clock.monotonic()
        life.next_start = None
        life.starts += 1
        life.began = now
        try:
            pid = self._launch(name, life.process)
        except (OSError, ConfigError, BackendUnavailable) as error:  # the disk is full, most likely
            if isinstance(error, ConfigError) and not self.is_lasting:
                raise
            return self._await_next_start(name, f"{name} cannot be started: {_said(error)}", now)
        return self._note_start(name, pid)

    def _launch(self, name: str, process: Process | None) -> int:
        if process is None:
            if self._valkey is None:
                raise RuntimeError("the broker is not ours")
            return self._valkey.relaunch()
        settings = {**self._overrides, **process.settings, "broker.url": self.broker_url}
        child = self._supervisor.start(
            name,
            process.argv,
            log_path=self.logs / f"{name}.log",
            env=child_environment(settings),
        )
        self.pids[name].append(child.pid)
        return child.pid

    def _note_start(self, name: str, pid: int | None) -> Started:
        life = self._lives[name]
        if pid is None:
            raise StackError(f"{name} ended as soon as it had started")
        process = life.process
        life.starts = max(1, life.starts)
        life.record = ProcessRecord(
            name=name,
            kind=Kind.BROKER if process is None else process.kind,
            pid=pid,
            birth=birth(pid),
            process_id=None if process is None else process.process_id(pid),
            pool=process.node if process is not None and process.kind is Kind.WORKER else None,
            started_at=self._clock.now(),
            restarts=life.starts - 1,
        )
        return Started(name, pid, life.record.process_id)

    def _child(self, name: str) -> Child:
        return self._supervisor[name]

    def _leave_record(self) -> None:
        remove(self.folder)
        if self.last_record is not None:
            with suppress(DatamcpError):  # nothing more can be done for what was cut short
                write(self.folder, self.last_record)

    def _remove_heartbeats(self) -> None:
        for life in self._lives.values():
            if life.record.process_id is not None:
                AliveFile(self.folder, life.record.process_id).remove()


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, DatamcpError) else str(getattr(error, "strerror", error))
