"""Says every few seconds that this process is there, until it ends.

It has threads of its own, so that neither a task nor a service that is away holds it up, and it
holds up nothing: what can't be told now is told with the next sign of life.
"""

import atexit
import os
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

from datamcp.clock import Clock
from datamcp.infra.forks import at_work
from datamcp.presence.alive import AliveFile, remove_old
from datamcp.presence.ledger import PresenceLedger
from datamcp.presence.process import PRUNED_AFTER, REFRESH, Condition, Identity
from datamcp.telemetry import Telemetry
from datamcp.types import new_token

_PRUNE_EVERY = 12  # signs of life
_LEAVE_TIMEOUT = 3.0  # seconds that a database may take to hear of our end


class Reporter:
    """Reports one process. `start` it once it does its work; its end is reported at exit."""

    def __init__(
        self,
        identity: Identity,
        *,
        look: Callable[[], Condition],
        ledger: PresenceLedger,
        state_dir: Path,
        clock: Clock,
        telemetry: Telemetry,
        prunes: bool = False,
    ) -> None:
        """Take who it is, how to see its condition, and where to report.

        With `prunes`, it also clears away what processes left that ended without a word.
        """
        self._identity = identity
        self._look = look
        self._ledger = ledger
        self._state_dir = state_dir
        self._file = AliveFile(state_dir, identity.process_id)
        self._clock = clock
        self._telemetry = telemetry
        self._prunes = prunes
        self._token = new_token()
        self._began = clock.monotonic()
        self._stopped = Event()
        self._pid = os.getpid()
        # Two, so that a database that does not even refuse leaves the file its age.
        self._telling = self._thread("tell", self._tell_on)
        self._touching = self._thread("touch", self._touch_on)

    def start(self) -> None:
        """Report from now on."""
        self._telling.start()
        self._touching.start()
        atexit.register(self.stop)

    def stop(self) -> None:
        """Report that the process ends. Does nothing in a forked child, which is not it."""
        if os.getpid() != self._pid or self._stopped.is_set():
            return
        atexit.unregister(self.stop)
        self._stopped.set()
        self._telling.join(_LEAVE_TIMEOUT)
        self._touching.join(_LEAVE_TIMEOUT)

    def _thread(self, name: str, target: Callable[[], None]) -> Thread:
        return Thread(target=target, name=f"datamcp-presence-{name}", daemon=True)

    def _touch_on(self) -> None:
        is_delayed = False
        while True:
            try:
                self._file.touch()
                is_delayed = False
            except OSError as error:
                if not is_delayed:
                    self._telemetry.emit("presence.no_heartbeat_file", reason=str(error))
                is_delayed = True
            if self._stopped.wait(REFRESH):
                break
        self._file.remove()

    def _tell_on(self) -> None:
        count, is_delayed = 0, False
        while True:
            try:
                with at_work():
                    self._tell(count)
                is_delayed = False
            except Exception as error:  # noqa: BLE001  whatever the database says, we still live
                if not is_delayed:
                    self._telemetry.emit("presence.delayed", reason=str(error))
                is_delayed = True
            if self._stopped.wait(REFRESH):
                break
            count += 1
        self._leave()

    def _tell(self, count: int) -> None:
        lived = self._clock.monotonic() - self._began
        self._ledger.tell(self._identity, self._token, lived, self._look())
        if self._prunes and count % _PRUNE_EVERY == 0:
            self._ledger.prune(PRUNED_AFTER)
            remove_old(self._state_dir, self._clock.now(), PRUNED_AFTER)

    def _leave(self) -> None:
        try:
            self._ledger.leave(self._identity.process_id, self._token)
        except Exception as error:  # noqa: BLE001  the row will be pruned
            self._telemetry.emit("presence.not_removed", reason=str(error))
