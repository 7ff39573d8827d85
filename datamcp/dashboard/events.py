"""What Flower hears of tasks and workers."""

import logging
from threading import Event

from flower.events import Events

_log = logging.getLogger("flower.events")

_RETRY = 2.0  # seconds


class SteadyEvents(Events):  # type: ignore[misc]
    """Flower's events, which are back soon after the broker is.

    Flower itself waits twice as long after each failure, without limit: an hour without a broker
    would be followed by most of an hour without events.
    """

    def run(self) -> None:
        """Receive events for ever; this is a thread's work."""
        never = Event()
        while True:
            try:
                self._receive()
            except Exception as error:  # noqa: BLE001  whatever ends it, it has to go on
                _log.error("Failed to capture events: %s; trying again in %g s", error, _RETRY)
                never.wait(_RETRY)

    def _receive(self) -> None:
        with self.capp.connection() as connection:
            receiver = self.capp.events.Receiver(connection, handlers={"*": self.on_event})
            receiver.capture(limit=None, timeout=None, wakeup=True)
