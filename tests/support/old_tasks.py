"""Celery tasks as they were before their project had agents."""

from typing import Any

from celery import shared_task


@shared_task(bind=True, max_retries=None)
def flaky(self: Any, failures: int, countdown: float = 60) -> str:
    """Fail so often, and ask for another attempt some seconds later."""
    if self.request.retries < failures:
        raise self.retry(countdown=countdown)
    return f"after {self.request.retries}"


@shared_task
def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b
