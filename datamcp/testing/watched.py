"""What attempts raise, kept for whoever wants it raised again in the test."""

from dataclasses import dataclass
from types import TracebackType
from typing import Any

from datamcp.tasks.claim import Delivery
from datamcp.tasks.execute import Execution, Executor
from datamcp.tasks.outcome import Fail, Outcome


@dataclass(frozen=True, slots=True)
class Raised:
    """An exception, and where it was raised; `traceback` begins in our own code."""

    error: BaseException
    traceback: TracebackType | None


class WatchedExecutor(Executor):
    """An executor that remembers of each task what its last attempt has raised.

    Celery keeps exceptions, too, but not as they were: it clears their frames, and replaces those
    that can't be pickled.
    """

    def __init__(self, **parts: Any) -> None:
        """Take the parts of an executor."""
        super().__init__(**parts)
        self.raised: dict[str, Raised] = {}

    def finish(
        self, delivery: Delivery, outcome: Outcome, *, is_step: bool = True
    ) -> Execution | None:
        """Record how an attempt went, as ever."""
        self.raised.pop(delivery.task_id, None)
        if isinstance(outcome, Fail) and outcome.exception is not None:
            error = outcome.exception
            self.raised[delivery.task_id] = Raised(error, error.__traceback__)
        return super().finish(delivery, outcome, is_step=is_step)
