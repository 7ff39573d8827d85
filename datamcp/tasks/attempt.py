"""The attempt that a thread makes at a Celery task, as the code around the user's sees it.

`Task.retry` and `Task.replace` send messages from inside of a task; `LedgerCelery.send_task` finds
here that they are meant for the task that runs.
"""

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import Any

from datamcp.tasks.claim import Delivery
from datamcp.tasks.execute import Execution
from datamcp.tasks.ledger import Claimed


@dataclass(frozen=True, slots=True)
class Again:
    """What `Task.retry` asked for: in how many seconds, or when, and with what.

    `parameters` and `canvas` are JSON text, None where they do not change.
    """

    delay: float
    due: datetime | None
    parameters: str | None
    canvas: str | None
    queue: str | None


@dataclass
class Attempt:
    """One attempt: what the ledger gave for it, and what the user's code asked for.

    `error` is what went wrong before the code could begin.
    """

    delivery: Delivery
    claimed: Claimed | None = None
    error: BaseException | None = None
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    since: float = field(default_factory=monotonic)
    has_begun: bool = False
    again: Again | None = None
    predicate: Any = None
    """What `Task.retry` raises, or returned; or what ends the whole process."""
    last_state: str | None = None
    """What the code told Celery's result backend last (`Task.update_state`)."""
    last_meta: Any = None
    execution: Execution | None = None

    def is_at(self, task_id: str | None) -> bool:
        """Tell whether this is the id of the task whose code runs now."""
        return task_id == self.delivery.task_id and self.has_begun and self.execution is None


unawaited: ContextVar[bool] = ContextVar("datamcp_unawaited", default=False)
"""Whether what is sent from here is awaited by nobody at the result backend: steps of a run."""

current: ContextVar[Attempt | None] = ContextVar("datamcp_attempt", default=None)
"""The attempt that runs here; each thread has its own."""
