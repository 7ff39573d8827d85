"""What a worker's main process does beside its pool: it keeps leases, and sweeps the ledger.

Threads of their own, so that neither a task nor a broker that is away holds them up: they go on
while Celery connects again.
"""

import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from threading import Event, Thread
from typing import Any

from celery import signals

from datamcp.bootstrap.runtime import Runtime
from datamcp.clock import SystemClock
from datamcp.errors import BackendUnavailable
from datamcp.infra.forks import at_work
from datamcp.tasks.alarm import SIGNAL as ALARM
from datamcp.tasks.celery_app import LedgerCelery
from datamcp.tasks.lease import LOOK, Force, Keeper
from datamcp.tasks.ledger import Deferred
from datamcp.tasks.lost import bury
from datamcp.tasks.outcome import TimedOut
from datamcp.tasks.publish import TIMEOUT_GRACE
from datamcp.tasks.settle import Settler
from datamcp.tasks.slots import Held
from datamcp.tasks.watchdog import LOOK as WATCH
from datamcp.tasks.watchdog import Remedy, Sight, Watchdog
from datamcp.tasks.worker import slot_number
from datamcp.telemetry import Telemetry

_END_PATIENCE = 3.0  # seconds that the threads have to end


def look_after(worker: Any) -> None:
    """Keep the leases of a worker and sweep, from when it is ready until it has ended."""
    app: LedgerCelery = worker.app
    app.slots  # noqa: B018  made before the pool forks
    upkeep = _Upkeep(worker)
    signals.worker_process_init.connect(partial(_empty_slot, app), weak=False)
    signals.worker_ready.connect(lambda **_: upkeep.start(), weak=False)
    signals.worker_shutdown.connect(lambda **_: upkeep.stop(), weak=False)


def _empty_slot(app: LedgerCelery, **_fields: Any) -> None:
    """Empty the slot that this process takes over: its last one may have died at work.

    What Celery's request will not give back is given back here, beside the process's start.
    """
    with app.slots.slot(slot_number()) as slot:
        left = slot.clear()
    if len(left) > 1:
        give_back = partial(_bury, left, app, SystemClock().monotonic())
        Thread(target=give_back, name="datamcp-lost", daemon=True).start()


def _bury(pile: Sequence[Held], app: LedgerCelery, now: float) -> None:
    settler: Settler = app.runtime.settler
    with suppress(BackendUnavailable):  # their leases will run out
        bury(pile, settler, now=now, grace=TIMEOUT_GRACE)


class _Upkeep:
    """The threads of one worker."""

    def __init__(self, worker: Any) -> None:
        self._worker = worker
        self._stopped = Event()
        self._threads: list[Thread] = []
        self._pid = os.getpid()

    def start(self) -> None:
        app: LedgerCelery = self._worker.app
        runtime: Runtime = app.runtime
        clock = SystemClock()
        force = _force(self._worker, runtime)
        keeper = Keeper(
            self._worker.hostname,
            table=app.slots,
            leases=runtime.ledger,
            force=force,
            clock=clock,
            telemetry=app.telemetry,
        )
        self._run("leases", partial(self._keep, keeper, app.telemetry))
        self._run("sweep", partial(self._sweep, runtime))
        self._run("watchdog", partial(self._watch, runtime))

    def stop(self) -> None:
        if os.getpid() != self._pid:
            return
        self._stopped.set()
        for thread in self._threads:
            thread.join(_END_PATIENCE)

    def _run(self, name: str, target: Callable[[], None]) -> None:
        thread = Thread(target=target, name=f"datamcp-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _keep(self, keeper: Keeper, telemetry: Telemetry) -> None:
        is_delayed = False
        while not self._stopped.wait(LOOK):
            try:
                with at_work():
                    keeper.look()
                is_delayed = False
            except Exception as error:  # noqa: BLE001  the leases of all tasks hang on this thread
                if not is_delayed:
                    telemetry.emit("lease.delayed", reason=str(error))
                is_delayed = True

    def _sweep(self, runtime: Runtime) -> None:
        pause = 0.0
        while not self._stopped.wait(pause):
            with at_work():
                pause = runtime.rounds.go()

    def _watch(self, runtime: Runtime) -> None:
        watchdog, clock = Watchdog(), SystemClock()
        while not self._stopped.wait(WATCH):
            try:
                with at_work():
                    sight = self._sight(runtime)
            except BackendUnavailable:
                watchdog.forget()
                continue
            remedy = watchdog.look(sight, clock.monotonic())
            if remedy is Remedy.NONE:
                continue
            runtime.app.telemetry.emit("worker.stalled", waiting=sight.waiting, remedy=remedy.value)
            if remedy is Remedy.RECONNECT:
                self._worker.consumer.call_soon(_break_connection)
            else:
                os.kill(self._pid, signal.SIGTERM)

    def _sight(self, runtime: Runtime) -> Sight:
        """Look at this worker; the broker is asked only where nothing runs."""
        from celery.worker import state  # with it comes Celery's whole worker

        running = len(state.reserved_requests)
        waiting = 0
        if not running and not state.should_stop:
            queues = list(runtime.app.amqp.queues.consume_from)
            waiting = sum(runtime.depths.ready(queue) for queue in queues)
        return Sight(waiting, running, sum(state.total_count.values()))


def _break_connection() -> None:
    """Have Celery connect anew: it does where the connection is said to be lost."""
    raise ConnectionResetError("the consumer has stalled")


def _force(worker: Any, runtime: Runtime) -> Force:
    processes = getattr(worker.pool, "_pool", None)
    has_processes = hasattr(processes, "_pool") and hasattr(processes, "_worker_active")
    deadlines = _Deadlines(runtime)
    return _Processes(processes, deadlines) if has_processes else _Threads(deadlines)


class _Deadlines:
    """Records, once, that a claim's time is up."""

    def __init__(self, runtime: Runtime) -> None:
        self._settler = runtime.settler
        self._clock = SystemClock()
        self._timed_out: dict[tuple[int, int], str] = {}  # by slot and level: the last one's fence

    def late(self, held: Held) -> float:
        """Return by how many seconds a claim is over its time."""
        return 0.0 if held.deadline is None else self._clock.monotonic() - held.deadline

    def conclude(self, held: Held) -> None:
        """Record the timeout; whatever the task still does is void."""
        where = held.slot, held.level
        if held.deadline is None or self._timed_out.get(where) == held.fence:
            return
        outcome = TimedOut(held.deadline - held.since)
        with suppress(BackendUnavailable):
            after = self._settler.conclude(held.task_id, held.fence, outcome).after
            self._timed_out[where] = held.fence
            if isinstance(after, Deferred):
                self._settler.resume(after)


class _Processes:
    """What can be done to a pool of processes.

    Celery itself ends what overruns the time that its message names. What is here holds for those
    whose message names none, or another than the ledger.
    """

    def __init__(self, pool: Any, deadlines: _Deadlines) -> None:
        self._pool = pool
        self._deadlines = deadlines

    def is_alive(self, pid: int) -> bool:
        return any(process.pid == pid for process in list(self._pool._pool))  # noqa: SLF001  billiard has no other list

    def end(self, held: Held, *, at_once: bool) -> None:
        self._send(held, signal.SIGKILL if at_once else signal.SIGTERM)

    def overdue(self, held: Held) -> None:
        """Interrupt the task; after its grace record the timeout, and kill its process."""
        grace = TIMEOUT_GRACE if held.level else TIMEOUT_GRACE + LOOK  # Celery comes first
        if self._deadlines.late(held) < grace:
            if not held.level:  # else it could meet what this one runs inside of
                self._send(held, ALARM)
            return
        self._deadlines.conclude(held)
        self._send(held, signal.SIGKILL)

    def _send(self, held: Held, number: signal.Signals) -> None:
        if self.is_alive(held.pid):
            with suppress(ProcessLookupError):
                os.kill(held.pid, number)


class _Threads:
    """What can be done where tasks run in this process: they are told, and can't be ended."""

    def __init__(self, deadlines: _Deadlines) -> None:
        self._deadlines = deadlines
        self._pid = os.getpid()

    def is_alive(self, pid: int) -> bool:
        return pid == self._pid

    def end(self, held: Held, *, at_once: bool) -> None:
        """Do nothing: a thread can't be ended."""

    def overdue(self, held: Held) -> None:
        """Record the timeout once the task has had its grace; whatever it still does is void."""
        if self._deadlines.late(held) >= TIMEOUT_GRACE:
            self._deadlines.conclude(held)
