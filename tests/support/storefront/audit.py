"""The base class of the project's tasks: it keeps an account of what happens to them."""

from pathlib import Path
from typing import Any

from celery import Task


def note(path: str, word: str) -> None:
    """Write a word into a file."""
    with Path(path).open("a") as notes:
        notes.write(f"{word}\n")


class AuditedTask(Task):
    """Notes what Celery's hooks are told, in the file that the first argument names."""

    abstract = True

    def __init__(self) -> None:
        """Begin to count."""
        self.calls = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Count the calls of this process."""
        self.calls += 1
        return super().__call__(*args, **kwargs)

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Note that it begins."""
        note(args[0], f"start:{self.request.retries}")

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        """Note that it succeeded."""
        note(args[0], f"success:{retval}")

    def on_retry(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Note that it is made again."""
        note(args[0], f"retry:{type(exc).__name__}")

    def on_failure(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Note that it failed."""
        note(args[0], f"failure:{type(exc).__name__}")

    def after_return(
        self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any
    ) -> None:
        """Note that it is over."""
        note(args[0], f"return:{status}")
