"""The processes of a stack: started, started anew when they die, ended in order."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
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
from datamcp.infra.processes import Exit, Supervisor
from datamcp.presence.alive import AliveFile
from datamcp.stack import logs
from datamcp.stack.leftovers import Leftovers, clear
from datamcp.stack.life import Died, Event, Life, Started
from datamcp.stack.lock import StackLock, sole_stack
from datamcp.stack.process import BROKER, Kind, Process, broker
from datamcp.stack.record import ProcessRecord, StackRecord, remove, write
from datamcp.stack.restarts import MAX_RESTARTS, error_of, is_hopeless

STOP_TIMEOUT = 10.0  # seconds that processes have for ending by themselves, unless said


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
        self._lock: StackLock | None = None
        self._valkey: EmbeddedValkey | None = None
        self._supervisor = Supervisor(stop_timeout=STOP_TIMEOUT)
        self._cleanup = ExitStack()
        self._lives = {process.name: Life(process) for process in processes}
        self._lost_broker = False
        self.pids: dict[str, list[int]] = {name: [] for name in self._lives}
        """Every process id that each process has had."""

    def __enter__(self) -> Self:
        """Start the broker, unless one is configured. `start` starts the rest."""
        with ExitStack() as cleanup:
            self._lock = cleanup.enter_context(sole_stack(self.folder))
            self.leftovers = clear(self.folder)
            logs.begin(self.logs)
            cleanup.callback(self._leave_record)
            if self.config.broker.url is None:
                self._valkey = cleanup.enter_context(self._embedded())
                self._adopt_broker(self._valkey)
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

    @property
    def is_homeless(self) -> bool:
        """Whether its folder was removed while it ran, so that nobody can find it any more."""
        return self._lock is not None and self._lock.is_void

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
        names = [name for name, life in self._lives.items() if life.process.kind in kinds]
        for name in names:
            self._lives[name].next_start = None
        return self._supervisor.stop(names, timeout, is_urgent=is_urgent)

    def alive(self, kind: Kind) -> list[str]:
        """Return the processes of a kind, which is not the broker's, that run."""
        return [
            name
            for name, life in self._lives.items()
            if life.process.kind is kind and self.pids[name] and self._supervisor[name].is_alive
        ]

    def _embedded(self) -> EmbeddedValkey:
        if not self._keeps_messages:
            return EmbeddedValkey()
        folder = self.folder / BROKER
        folder.mkdir(mode=0o700, exist_ok=True)
        return EmbeddedValkey(data_dir=folder, log_path=self.logs / f"{BROKER}.log")

    def _adopt_broker(self, valkey: EmbeddedValkey) -> None:
        """Count a broker that runs already among the processes."""
        life = self._lives[BROKER] = Life(broker())
        life.begin(self._clock.monotonic())
        self._note_start(life, valkey.pid)

    def _newly_dead(self) -> list[Exit]:
        exits = self._supervisor.exits()
        lost = None if self._valkey is None else self._valkey.ended
        if lost is not None:
            self._lost_broker = True
            exits.insert(0, lost)
        return [ended for ended in exits if self._lives[ended.name].record.pid == ended.pid]

    def _bury(self, ended: Exit, now: float) -> Died:
        life = self._lives[ended.name]
        if life.record.process_id is not None:
            AliveFile(self.folder, life.record.process_id).remove()
        told = self._error_of(ended)
        if not self.is_lasting and is_hopeless(
            ended.code, starts=life.starts, lost_broker=self._lost_broker
        ):
            why = told or f"{ended}; {self._log_of(life)}"
            raise StackError(f"{why} ({ended.name} did not start)", ended.code)
        reason = f"{ended}: {told.splitlines()[0]}" if told else str(ended)
        return self._await_next_start(life, reason, now)

    def _error_of(self, ended: Exit) -> str | None:
        """Return the error that a process ended with, if it did so by itself and told one."""
        if ended.name == BROKER or ended.code <= 0:
            return None
        return error_of(self._supervisor[ended.name].last_words())

    def _await_next_start(self, life: Life, reason: str, now: float) -> Died:
        died = life.die(reason, now, self._clock.now())
        if not self.is_lasting and life.deaths > MAX_RESTARTS:
            raise StackError(f"{reason}; {self._log_of(life)} (started {life.starts} times)")
        return died

    def _log_of(self, life: Life) -> str:
        return f"its log is {self.logs / life.process.name}.log"

    def _start(self, name: str) -> Event:
        life, now = self._lives[name], self._clock.monotonic()
        life.begin(now)
        try:
            pid = self._launch(life.process)
        except (OSError, ConfigError, BackendUnavailable) as error:  # the disk is full, most likely
            if isinstance(error, ConfigError) and not self.is_lasting:
                raise
            return self._await_next_start(life, f"{name} cannot be started: {_said(error)}", now)
        return self._note_start(life, pid)

    def _launch(self, process: Process) -> int | None:
        if process.kind is Kind.BROKER:
            return None if self._valkey is None else self._valkey.relaunch()
        settings = {**self._overrides, **process.settings, "broker.url": self.broker_url}
        child = self._supervisor.start(
            process.name,
            process.argv,
            log_path=self.logs / f"{process.name}.log",
            env=child_environment(settings),
        )
        self.pids[process.name].append(child.pid)
        return child.pid

    def _note_start(self, life: Life, pid: int | None) -> Started:
        if pid is None:
            raise StackError(f"{life.process.name} ended as soon as it had started")
        return life.run(pid, birth(pid), self._clock.now())

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
