"""What runs inside `celery -A datamcp beat`: it fires what is due, and sleeps in between.

Any number of beats may run. Which schedules there are is in the store; Celery's own entries are
brought there when a beat starts. A signal to end is heard between two steps, never inside of one.
"""

import os
import select
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread
from typing import Any

from celery import platforms
from celery.apps.beat import Beat
from celery.beat import Scheduler

from datamcp.clock import SystemClock
from datamcp.errors import BackendUnavailable
from datamcp.tasks.waiter import Listener

BELL = "schedules"
"""The notice by which a change of schedules wakes every beat."""

_LOOK = 1.0  # seconds between two looks at the store, as a notice may be lost
_PAUSE = 1.0  # seconds until the next try where a service is away
_HEARD = 1.0  # seconds for which the bell is listened to at once


class Alarm:
    """A sleep that anybody may end: another thread, or the handler of a signal."""

    def __init__(self) -> None:
        """Make the pipe by which it is ended."""
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        os.set_blocking(self._read, False)

    def ring(self) -> None:
        """End the sleep; if nobody sleeps, the next one."""
        with suppress(BlockingIOError):  # then it rings already
            os.write(self._write, b"!")

    def sleep(self, seconds: float) -> None:
        """Sleep for so many seconds, or until it rings."""
        if select.select([self._read], [], [], max(0.0, seconds))[0]:
            os.read(self._read, 4096)


class LedgerScheduler(Scheduler):  # type: ignore[misc]
    """Fires what is due, in the place of Celery's own schedulers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Prepare; nothing is looked at yet."""
        self._clock = SystemClock()
        self.alarm = Alarm()
        self._last_look: float | None = None
        self._is_delayed = False
        super().__init__(*args, **kwargs)

    def setup_schedule(self) -> None:
        """Do nothing: schedules are in the store."""

    @property
    def last_look(self) -> float | None:
        """When schedules were looked at last, by the clock's count; None before the first time."""
        return self._last_look

    def tick(self, *_args: Any, **_kwargs: Any) -> float:
        """Fire some of what is due, or sleep until there is something; return 0.

        Celery's beat would sleep in a way that only a signal ends.
        """
        pause = self._look()
        if pause > 0:
            self.alarm.sleep(min(pause, _LOOK))
        return 0.0

    def _look(self) -> float:
        """Fire some of what is due; return the seconds until there is more to do."""
        app = self.app
        try:
            pause = app.runtime.firer.go()
        except BackendUnavailable as error:
            if not self._is_delayed:
                app.telemetry.emit("schedule.delayed", reason=str(error))
            self._is_delayed = True
            return _PAUSE
        except Exception as error:  # noqa: BLE001  one schedule must not end all others
            app.telemetry.emit("schedule.stopped", reason=repr(error))
            return _PAUSE
        self._is_delayed = False
        self._last_look = self._clock.monotonic()
        return _LOOK if pause is None else pause

    @property
    def info(self) -> str:
        """What beat prints about its scheduler at the start."""
        return f"    . schedules -> {self.app.runtime.config.scheduler.persistence_backend}"


class LedgerBeat(Beat):  # type: ignore[misc]
    """Celery's beat, which ends in order: once the step that it is in has ended."""

    def install_sync_handler(self, service: Any) -> None:
        """Have signals end the loop, and not what it is just doing."""
        scheduler: LedgerScheduler = service.scheduler  # made now, before a signal may come

        def end(_number: int, _frame: object) -> None:
            service.stop()
            scheduler.alarm.ring()

        platforms.signals.update(SIGTERM=end, SIGINT=end)


class Bell:
    """Has a beat look at once when schedules are changed anywhere, from a thread beside it."""

    def __init__(self, alarm: Alarm, listener: Callable[[], Listener]) -> None:
        """Take what ends the beat's sleep, and what makes somebody who hears notices."""
        self._alarm = alarm
        self._listener = listener
        self._stopped = Event()
        self._thread = Thread(target=self._run, name="datamcp-bell", daemon=True)

    def start(self) -> None:
        """Hear from now on."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Hear no more; wait so many seconds until that is so."""
        self._stopped.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stopped.is_set():
            ear = self._listener()
            try:
                ear.listen(BELL)
                while not self._stopped.is_set():
                    ear.hear(_HEARD, lambda _key: self._alarm.ring())
            except ConnectionError:
                self._stopped.wait(_PAUSE)
            finally:
                ear.close()
