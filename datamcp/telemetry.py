"""What happens is announced as a named event; somebody else logs or counts it.

Code that does the work calls `emit("task.finished", task_id=..., ...)` and holds no logger.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

Subscriber = Callable[[str, Mapping[str, Any]], None]

_QUIET = frozenset({"task.claimed", "task.finished", "task.enqueued", "run.released"})
"""Events of normal work: one or more a task."""
_USUAL = frozenset({"schedule.fired", "run.finished", "run.notice"})
"""Events that are worth a line, and nothing to worry about."""


class Telemetry:
    """Hands every event to its subscribers, in order."""

    def __init__(self, *subscribers: Subscriber) -> None:
        """Take the subscribers; with none, events go nowhere."""
        self._subscribers = subscribers

    def emit(self, event: str, **fields: Any) -> None:
        """Announce an event. Names are `feature.what_happened`; fields are plain values."""
        for subscriber in self._subscribers:
            subscriber(event, fields)


class LogSubscriber:
    """Writes events to the standard log `datamcp`: normal work at DEBUG or INFO, the rest at WARNING."""

    def __init__(self) -> None:
        """Find the log."""
        self._log = logging.getLogger("datamcp")

    def __call__(self, event: str, fields: Mapping[str, Any]) -> None:
        """Write one line: the event, then its fields as `name=value`."""
        level = logging.DEBUG if event in _QUIET else logging.WARNING
        level = logging.INFO if event in _USUAL else level
        if self._log.isEnabledFor(level):
            shown = " ".join(f"{name}={value}" for name, value in fields.items())
            self._log.log(level, "%s %s", event, shown)
