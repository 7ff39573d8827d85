"""Tasks of everyday kinds."""

import os
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from celery import chain, chord, current_task, group, shared_task
from celery.exceptions import Ignore, Reject, Retry
from storefront.audit import AuditedTask, note


@shared_task
def add(x: int, y: int = 0) -> int:
    """Add two numbers."""
    return x + y


@shared_task
def total(numbers: list[int]) -> int:
    """Add up numbers."""
    return sum(numbers)


@shared_task(name="storefront-echo")
def say(*args: Any, **kwargs: Any) -> list[Any]:
    """Return what was given, and its types, under a name that has no module."""
    types = [type(value).__name__ for value in [*args, *kwargs.values()]]
    return [list(args), kwargs, types]


@shared_task
def tomorrow(day: datetime) -> datetime:
    """Return the same time one day later; the annotation is true only of what it is called with."""
    return day + timedelta(days=1)


@shared_task(bind=True)
def describe(self: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Return what a task knows of itself."""
    request = self.request
    return {
        "id": request.id,
        "current": current_task.request.id,
        "name": self.name,
        "args": request.args,
        "kwargs": request.kwargs,
        "retries": request.retries,
        "root_id": request.root_id,
        "parent_id": request.parent_id,
        "hostname": request.hostname,
        "queue": request.delivery_info["routing_key"],
        "headers": request.headers,
        "called_directly": request.called_directly,
        "is_eager": request.is_eager,
    }


@shared_task(bind=True, base=AuditedTask, max_retries=3)
def flaky(self: Any, path: str, failures: int, countdown: float = 0) -> str:
    """Fail so many times, by the book."""
    try:
        _connect(self.request.retries, failures)
    except ConnectionError as error:
        raise self.retry(exc=error, countdown=countdown) from error
    return f"after {self.request.retries}"


def _connect(tries: int, failures: int) -> None:
    if tries < failures:
        raise ConnectionError("not yet")


@shared_task(
    base=AuditedTask,
    autoretry_for=(ConnectionError,),
    retry_backoff=1,
    retry_backoff_max=1,
    retry_jitter=True,
    max_retries=2,
)
def unreachable(path: str) -> None:
    """Fail until nobody tries again."""
    raise ConnectionError("nobody there")


@shared_task(bind=True, max_retries=None, default_retry_delay=0)
def stubborn(self: Any, until: int) -> int:
    """Be made again until the attempt has a number, with no limit of its own."""
    if self.request.retries < until:
        raise self.retry()
    return int(self.request.retries)


@shared_task(bind=True, base=AuditedTask)
def changing(self: Any, path: str, number: int, *, by: int = 1) -> int:
    """Be made again with other arguments."""
    if number < 3:
        raise self.retry(args=(path, number + by), kwargs={"by": by}, countdown=0)
    return number


@shared_task(bind=True)
def quiet_retry(self: Any, path: str) -> str:
    """Ask for another attempt, and go on."""
    note(path, f"attempt:{self.request.retries}")
    if self.request.retries < 1:
        self.retry(countdown=0, throw=False)
        note(path, "went on")
    return "done"


@shared_task(bind=True, max_retries=5)
def by_hand(self: Any) -> int:
    """Raise what Celery's `retry` raises."""
    if self.request.retries < 2:
        raise Retry("once more", when=0)
    return int(self.request.retries)


@shared_task(bind=True)
def reject(self: Any, path: str, requeue: bool) -> str:
    """Reject the message, the first time."""
    note(path, f"rejected:{self.request.retries}")
    if requeue and len(Path(path).read_text().split()) > 1:
        return "taken"
    raise Reject("not now", requeue=requeue)


@shared_task(bind=True)
def ignore(self: Any, state: str | None = None) -> None:
    """End without a result, or with one of its own."""
    if state is not None:
        self.update_state(state=state, meta={"exc_type": "ValueError", "exc_message": "by itself"})
    raise Ignore("no more")


@shared_task(bind=True)
def progress(self: Any, gate: str) -> str:
    """Tell how far it is, and wait."""
    self.update_state(state="PROGRESS", meta={"current": 3, "total": 10})
    Path(gate + ".reached").touch()
    while not Path(gate + ".open").exists():
        time.sleep(0.01)  # noqa: TID251  the test waits for it
    return "done"


@shared_task(bind=True)
def instead(self: Any, kind: str) -> Any:
    """Let something else take the place of this task."""
    parts = {
        "task": add.s(20, 3),
        "chain": chain(add.s(1, 2), add.s(20)),
        "group": group(add.s(n, n) for n in range(3)),
        "chord": chord([add.s(n, n) for n in range(3)], total.s()),
        "failing chain": chain(fail.si("in the middle"), add.si(1)),
    }
    return self.replace(parts[kind])


@shared_task(throws=(KeyError,))
def fail(message: str = "on purpose") -> None:
    """Fail."""
    raise KeyError(message)


@shared_task(ignore_result=True)
def forget(path: str) -> object:
    """Return what has no JSON form, as nobody looks."""
    note(path, "forgotten")
    return object()


@shared_task
def keep() -> object:
    """Return what has no JSON form, though somebody looks."""
    return object()


@shared_task(base=AuditedTask)
def mark(path: str, *more: Any) -> str:
    """Do nothing but leave marks."""
    return "marked"


@shared_task(soft_time_limit=1)
def long(gate: str) -> None:
    """Never end of itself."""
    while not Path(gate + ".open").exists():
        time.sleep(0.01)  # noqa: TID251  the test waits for it


@shared_task(base=AuditedTask, time_limit=1)
def killed(path: str) -> None:
    """Never end, not even when told."""
    while True:
        time.sleep(1)  # noqa: TID251  until its process is killed


@shared_task(bind=True, max_retries=5)
def die_in_retry(self: Any, path: str, times: int) -> list[int]:
    """Be made again once, and kill this process at the second attempt, so many times."""
    note(path, str(self.request.retries))
    attempts = Path(path).read_text().split()
    if self.request.retries == 0:
        raise self.retry(countdown=0)
    if attempts.count("1") <= times:
        os.kill(os.getpid(), 9)
    return [int(one) for one in attempts]


@shared_task(bind=True)
def caller(self: Any, x: int) -> list[str]:
    """Call others."""
    result = add.delay(x, 1)
    later = add.apply_async((x, 2), countdown=0.2)
    return [result.id, later.id, self.request.id]


@shared_task(rate_limit="600/m")
def limited(x: int) -> int:
    """Be run not too often."""
    return x


@shared_task
def errback(request: Any, exc: Exception, traceback: Any, path: str) -> None:
    """Note a failure, as an error callback of the newer kind."""
    note(path, f"errback:{request.id}:{type(exc).__name__}")


@shared_task
def old_errback(task_id: str, path: str) -> None:
    """Note a failure, as an error callback of the older kind."""
    note(path, f"old:{task_id}")
