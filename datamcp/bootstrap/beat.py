"""What a beat does beside its loop: it takes over schedules, sweeps the ledger, and hears the bell."""

import atexit
import sys
from threading import Event, Thread
from typing import Any

import click

from datamcp.bootstrap.declared import Taken, declared_by_pipelines, take_over
from datamcp.bootstrap.runtime import Runtime
from datamcp.errors import BackendUnavailable
from datamcp.infra.forks import at_work
from datamcp.scheduling.beat import Alarm, Bell
from datamcp.scheduling.schedule import Source
from datamcp.tasks.celery_app import LedgerCelery
from datamcp.tasks.rounds import PATIENT

_END_PATIENCE = 3.0  # seconds that the threads have to end
_TAKE_OVER = 60.0  # seconds between two looks at what pipelines declare


def look_after_beat(service: Any) -> None:
    """Take over the schedules that are written down; then sweep, and hear of changes.

    Raises ConfigError for schedules of the configuration that are wrong, and BackendUnavailable.
    Entries of others that are wrong are named, and keep no other from being fired.
    """
    app: LedgerCelery = service.app
    runtime: Runtime = app.runtime
    app.finalize()  # whoever waits for that adds periodic tasks then
    _tell(take_over(runtime))
    _Beside(runtime, service.scheduler.alarm).start()


def _tell(taken: Taken) -> None:
    for place, why in taken.refused.items():
        click.echo(f"warning: {place} is not fired: {why}", file=sys.__stderr__)


class _Beside:
    """The threads of one beat, which end with it."""

    def __init__(self, runtime: Runtime, alarm: Alarm) -> None:
        self._runtime = runtime
        self._bell = None if runtime.listener is None else Bell(alarm, runtime.listener)
        self._stopped = Event()
        targets = {"sweep": self._sweep, "schedules": self._keep_taking_over}
        self._threads = [
            Thread(target=target, name=f"datamcp-{name}", daemon=True)
            for name, target in targets.items()
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()
        if self._bell is not None:
            self._bell.start()
        atexit.register(self.stop)

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(_END_PATIENCE)
        if self._bell is not None:
            self._bell.stop(_END_PATIENCE)

    def _sweep(self) -> None:
        pause = 0.0
        while not self._stopped.wait(pause):
            with at_work():
                pause = self._runtime.rounds.go(PATIENT)

    def _keep_taking_over(self) -> None:
        """Take over what pipelines declare that were registered without us."""
        runtime = self._runtime
        while not self._stopped.wait(_TAKE_OVER):
            try:
                with at_work():
                    declared = declared_by_pipelines(runtime.pipelines.sync)
                    runtime.schedules.sync(Source.PIPELINE, declared)
            except BackendUnavailable as error:
                runtime.app.telemetry.emit("schedule.delayed", reason=str(error))
            except Exception as error:  # noqa: BLE001  the next time may be luckier
                runtime.app.telemetry.emit("schedule.not_taken_over", reason=repr(error))
