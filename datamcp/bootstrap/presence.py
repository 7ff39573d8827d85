"""What workers and beats report of themselves while they run."""

import os
import signal
import sys
from functools import partial
from typing import Any

from celery import signals

from datamcp.bootstrap.runtime import Runtime
from datamcp.clock import SystemClock
from datamcp.infra.celery import host, nodename
from datamcp.infra.leash import die_with
from datamcp.presence.process import Condition, Identity, ProcessKind
from datamcp.presence.reporter import Reporter
from datamcp.tasks.celery_app import LedgerCelery

ALL = "all"
"""The pool of workers that serve every agent type."""

_VERSION: str = sys.modules["datamcp"].__version__  # to import it would import all layers

_IMPLEMENTATIONS = {"thread": "threads"}
"""Modules of Celery's pools whose names are not those of the option."""


def report_worker(worker: Any) -> None:
    """Report a worker from when it is ready; and let its pool end with it."""
    watched = _WatchedWorker(worker)
    signals.worker_ready.connect(lambda **_: watched.start(), weak=False)
    signals.worker_shutting_down.connect(lambda **_: watched.drain(), weak=False)
    signals.worker_process_init.connect(partial(_tie, worker, os.getpid()), weak=False)


def report_beat(service: Any) -> None:
    """Report a beat from now on."""
    clock = SystemClock()

    def look() -> Condition:
        lasts = (service.app.runtime.rounds.last, service.scheduler.last_look)
        known = [clock.monotonic() - last for last in lasts if last is not None]
        # What it has not done yet, or not for the longest time, is what counts.
        return Condition(since_sweep=max(known) if len(known) == len(lasts) else None)

    identity = Identity(
        process_id=nodename("beat", os.getpid()),
        kind=ProcessKind.BEAT,
        host=host(),
        pid=os.getpid(),
        version=_VERSION,
    )
    _reporter(service.app, identity, look, prunes=True).start()


class _WatchedWorker:
    """A worker, and how it is seen from a thread beside it."""

    def __init__(self, worker: Any) -> None:
        self._worker = worker
        self._draining = False

    def start(self) -> None:
        app: LedgerCelery = self._worker.app
        identity = Identity(
            process_id=self._worker.hostname,
            kind=ProcessKind.WORKER,
            host=host(),
            pid=os.getpid(),
            version=_VERSION,
            pool=app.pool_to_serve or ALL,
            queues=tuple(app.amqp.queues.consume_from),
            implementation=_implementation(self._worker),
        )
        _reporter(app, identity, self._look).start()

    def drain(self) -> None:
        self._draining = True

    def _look(self) -> Condition:
        from celery.worker import state

        slots = int(self._worker.pool.num_processes)
        busy = min(len(state.active_requests), slots)
        return Condition(concurrency=slots, busy=busy, draining=self._draining)


def _reporter(
    app: LedgerCelery, identity: Identity, look: Any, *, prunes: bool = False
) -> Reporter:
    runtime: Runtime = app.runtime
    return Reporter(
        identity,
        look=look,
        ledger=runtime.presence,
        state_dir=runtime.config.system.state_dir,
        clock=SystemClock(),
        telemetry=app.telemetry,
        prunes=prunes,
    )


def _implementation(worker: Any) -> str:
    name = str(worker.pool_cls.__module__).rpartition(".")[2]
    return _IMPLEMENTATIONS.get(name, name)


def _tie(worker: Any, pid: int, **_fields: Any) -> None:
    """Let a pool's process end with its worker, however that ends.

    Otherwise it would go on with a task that, its worker being dead, is given to another. Linux
    watches the thread that forked it; only in an event loop is that the main one. A worker without
    processes sends the signal, too.
    """
    if worker.use_eventloop and os.getpid() != pid:
        die_with(pid, signal.SIGKILL)
