"""The project's receivers of Celery's signals: each writes a line."""

import os
from typing import Any

from celery import shared_task, signals
from storefront.audit import note


def _note(name: str) -> Any:
    def receive(sender: Any = None, **_fields: Any) -> None:
        path = os.environ.get("STOREFRONT_SIGNALS")  # noqa: TID251  a project of somebody else's
        if path and getattr(sender, "name", sender) == watched.name:
            note(path, name)

    return receive


@shared_task(bind=True, max_retries=2)
def watched(self: Any, failures: int, fatal: bool = False) -> str:
    """Be made again so many times, and end in one way or the other."""
    if self.request.retries < failures:
        raise self.retry(countdown=0)
    if fatal:
        raise ValueError("for good")
    return "well"


for _signal in (
    signals.before_task_publish,
    signals.task_prerun,
    signals.task_postrun,
    signals.task_success,
    signals.task_failure,
    signals.task_retry,
):
    _signal.connect(_note(_signal.name), weak=False)
