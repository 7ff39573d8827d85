"""What a worker's consumer does with what it can't run: it puts it aside, and lives.

A message of which a worker died would be put back as that worker ends, and kill the next one: none
may be able to. A task that it does not know is left to those who do.
"""

import logging
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from celery.worker import state
from celery.worker.consumer import Consumer
from kombu.exceptions import ContentDisallowed, DecodeError

from datamcp.infra.prefork import keeping_sent
from datamcp.tasks.gather import Gatherer
from datamcp.tasks.publish import HINT

_log = logging.getLogger("celery.worker.consumer")


_LONGEST_WAIT = 0.05  # seconds


class _Brief:
    """A connection to the broker on which nobody waits for long."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def drain_events(self, timeout: float) -> Any:
        return self._connection.drain_events(timeout=min(timeout, _LONGEST_WAIT))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class LedgerConsumer(Consumer):  # type: ignore[misc]
    """Celery's consumer, which throws no task of the ledger away.

    While a new version is rolled out, old workers may get tasks that only the new ones know.
    """

    def __init__(
        self, on_task_request: Callable[[Any], object], *args: Any, **options: Any
    ) -> None:
        """Have what comes go through a gatherer, where the pool has slots that it waits for.

        Not where the pool counts what its processes have run: it would count jobs, not tasks.
        """
        super().__init__(on_task_request, *args, **options)
        self.gatherer: Gatherer | None = None
        controller = self.controller
        are_threads = self.hub is not None and hasattr(self.pool, "freed")
        waits = are_threads or controller.process_task == controller._process_task_sem  # noqa: SLF001  nothing else tells
        brevity = self.app.brevity
        if not waits or not brevity.longest or controller.max_tasks_per_child:
            return
        process, release = controller._process_task_sem, controller._quick_release  # noqa: SLF001  as it does itself
        self.gatherer = Gatherer(self, process, release, brevity)
        self.on_task_request = self.gatherer
        if are_threads:  # processes do so themselves
            self.pool.freed = controller.semaphore.release

    def create_task_handler(self, *args: Any, **options: Any) -> Callable[[Any], object]:
        """Put aside what has a body that Celery 5.7 takes for granted to hold something."""
        receive: Callable[[Any], object] = super().create_task_handler(*args, **options)

        def on_task_received(message: Any) -> object:
            if _has_contents(message):
                return receive(message)
            return self.on_unknown_message(None, message)

        return on_task_received

    def on_close(self) -> None:
        """Forget what came over the connection, but nothing that a slot has, if the worker ends."""
        ends = state.should_stop is not None
        with keeping_sent(self.pool) if ends else nullcontext():
            super().on_close()

    def loop_args(self) -> tuple[Any, ...]:
        """Let a loop that waits for the broker alone look up often: a slot may be free meanwhile.

        That of the pool gevent is such a loop. The others are woken by their pools.
        """
        consumer, connection, *others = super().loop_args()
        if self.hub is None:
            connection = _Brief(connection)
        return consumer, connection, *others

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Drop a hint: its row stays queued, and a hint is sent again (R4); else do as Celery does."""
        headers = message.headers or {}
        if not isinstance(headers, dict) or HINT not in headers:
            if isinstance(_id_of(message), str):
                super().on_unknown_task(body, message, exc)
            else:  # there is nobody to be told
                self.on_unknown_message(body, message)
            return
        message.ack_log_error(_log, self.connection_errors)
        self.app.telemetry.emit(
            "task.unknown_here", task_id=headers.get("id"), task_type=headers.get("task")
        )


def _has_contents(message: Any) -> bool:
    """Tell whether there is anything in a message's body, or that it will be refused for good."""
    try:
        return isinstance(message.payload, list | tuple | dict)
    except (DecodeError, ContentDisallowed):
        return True  # Celery says so
    except (TypeError, ValueError, AttributeError, LookupError):
        return False


def _id_of(message: Any) -> object:
    """Return the id of a task that nobody knows, wherever its message has it."""
    found, payload = message.headers, message.payload
    if "id" not in found and isinstance(payload, dict):
        found = payload
    return found.get("id")
