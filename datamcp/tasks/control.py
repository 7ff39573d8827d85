"""Remote control of workers: what Celery's `revoke` stops is stopped in the ledger, too.

`AsyncResult.revoke()`, `app.control.revoke()`, `celery control revoke` and Flower all broadcast a
command to the workers. A worker that is not there does not hear it; the ledger keeps it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

from celery.app.control import Control
from celery.utils.functional import maybe_list
from kombu.pidbox import Mailbox

from datamcp.errors import BackendUnavailable
from datamcp.infra.celery import publishing
from datamcp.tasks.ledger import are_tasks
from datamcp.tasks.publish import broker_errors

_REVOKES = frozenset({"revoke", "terminate"})
_ONCE_MORE = {"max_retries": 1, "interval_start": 0}  # a connection may have gone unnoticed


class BoundedMailbox(Mailbox):
    """Where commands are sent: kombu's own would wait for a broker that is away for ever."""

    @contextmanager
    def producer_or_acquire(self, producer: Any = None, channel: Any = None) -> Iterator[Any]:
        """Have a producer that gives up after some tries."""
        with super().producer_or_acquire(producer, channel) as found:
            yield SimpleNamespace(publish=partial(found.publish, retry_policy=_ONCE_MORE))


class LedgerControl(Control):  # type: ignore[misc]
    """Celery's remote control, which writes the ledger first."""

    Mailbox = BoundedMailbox

    def broadcast(  # noqa: D102  Celery's method
        self, command: str, arguments: Mapping[str, Any] | None = None, **options: Any
    ) -> Any:
        if command not in _REVOKES or self.app.settler is None:
            return self._broadcast(command, arguments, options)
        ids = maybe_list((arguments or {}).get("task_id")) or []
        self.app.settler.cancel(are_tasks([str(one) for one in ids]))
        try:
            with broker_errors(self.app):
                return self._broadcast(command, arguments, options)
        except BackendUnavailable as error:
            # Workers look into the ledger each second: they hear of it all the same.
            self.app.telemetry.emit("control.unheard", command=command, reason=error.reason)
            return None

    def _broadcast(
        self, command: str, arguments: Mapping[str, Any] | None, options: Mapping[str, Any]
    ) -> Any:
        """Send a command on a connection that gives up soon where the broker does not answer."""
        send = partial(super().broadcast, command, arguments)
        if options.get("connection") is not None:
            return send(**options)
        with self.app.connection_for_write(
            **publishing(str(self.app.conf.broker_url))
        ) as connection:
            return send(**{**options, "connection": connection})
