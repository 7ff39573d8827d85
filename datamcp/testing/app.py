"""The Celery app of a runtime that has no broker and no result backend but this process."""

import json
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from celery.backends.cache import CacheBackend
from celery.exceptions import TimeoutError  # noqa: A004  the one that its callers expect
from celery.states import READY_STATES, SUCCESS

from datamcp.tasks.celery_app import LedgerCelery
from datamcp.tasks.states import State
from datamcp.testing.errors import NobodyRunsItError
from datamcp.testing.mailbox import Mailbox, MailboxProducer


class MailboxCelery(LedgerCelery):
    """An app that sends to a mailbox, and keeps the results of plain calls in memory."""

    backend_cls = f"{__name__}:WaitingBackend"
    work_for: Callable[[str], None] = staticmethod(lambda _task_id: None)
    """Does what there is to do, until one task has ended."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Begin with an empty mailbox."""
        super().__init__(*args, **kwargs)
        self.mailbox = Mailbox()

    def require_broker(self) -> None:
        """Be content: the mailbox is there."""

    def producer_or_acquire(  # noqa: D102  Celery's method
        self, producer: MailboxProducer | None = None
    ) -> AbstractContextManager[MailboxProducer]:
        return nullcontext(producer or MailboxProducer(self, self.mailbox))


class WaitingBackend(CacheBackend):  # type: ignore[misc]
    """Results in memory. As nobody else works here, whoever waits for one does the work first."""

    def __init__(self, app: MailboxCelery, **options: Any) -> None:
        """Take the app."""
        super().__init__(app, **{**options, "backend": "memory", "url": None})

    def wait_for(  # noqa: D102  Celery's method
        self,
        task_id: str,
        timeout: float | None = None,
        on_interval: Callable[[], Any] | None = None,
        **options: Any,
    ) -> Any:
        try:
            self._work_for(task_id)
        except NobodyRunsItError as error:
            if on_interval is not None:
                on_interval()  # raises what an earlier part of a chain has raised
            if timeout is not None:
                raise TimeoutError(str(error)) from error
            raise
        return super().wait_for(task_id, timeout=timeout, on_interval=on_interval, **options)

    def get_many(  # noqa: D102  Celery's method
        self, task_ids: Collection[str], **options: Any
    ) -> Iterator[Any]:
        for task_id in task_ids:
            self._work_for(task_id)
        yield from super().get_many(task_ids, **options)

    def _work_for(self, task_id: str) -> None:
        if not self._is_ready(task_id):
            self.app.work_for(task_id)
            if not self._is_ready(task_id):
                self._take_over(task_id)

    def _is_ready(self, task_id: str) -> bool:
        return self.get_task_meta(task_id)["status"] in READY_STATES

    def _take_over(self, task_id: str) -> None:
        """Keep the success of a task that a worker beside us ran: it has another backend."""
        row = self.app.executor.row_of(task_id)
        if row is not None and row.state == State.SUCCEEDED and row.result is not None:
            self.store_result(task_id, json.loads(row.result), SUCCESS)
