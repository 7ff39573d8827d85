"""Remote control of workers: what Celery's `revoke` stops is stopped in the ledger, too.

`AsyncResult.revoke()`, `app.control.revoke()`, `celery control revoke` and Flower all broadcast a
command to the workers. A worker that is not there does not hear it; the ledger keeps it.
"""

from collections.abc import Mapping
from typing import Any

from celery.app.control import Control
from celery.utils.functional import maybe_list

from datamcp.tasks.ledger import are_tasks

_REVOKES = frozenset({"revoke", "terminate"})


class LedgerControl(Control):  # type: ignore[misc]
    """Celery's remote control, which writes the ledger first."""

    def broadcast(  # noqa: D102  Celery's method
        self, command: str, arguments: Mapping[str, Any] | None = None, **options: Any
    ) -> Any:
        if command in _REVOKES and self.app.settler is not None:
            ids = maybe_list((arguments or {}).get("task_id")) or []
            self.app.settler.cancel(are_tasks([str(one) for one in ids]))
        return super().broadcast(command, arguments, **options)
