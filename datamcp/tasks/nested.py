"""Running a task in a slot that is busy: inside of the one that waits for it (protocol R19).

Celery's tracer runs it as a message would have it run; there is no message.
"""

from typing import Any

from celery import states
from celery.app.trace import trace_task
from celery.exceptions import NotRegistered

from datamcp.errors import UnknownTaskTypeError
from datamcp.tasks.ledger import Hint
from datamcp.tasks.publish import HINT


def run_nested(app: Any, hint: Hint, agent_id: str) -> bool:
    """Run a task here and now, in the slot of this thread; False if it could not start here."""
    try:
        task = app.task_of(hint.task_type)
    except (UnknownTaskTypeError, NotRegistered):
        return False  # other workers of the queue may know it
    options = {"hostname": agent_id, "loader": app.loader, "app": app}
    _, info, *_ = trace_task(task, hint.task_id, [], {}, _request(app, hint, agent_id), **options)
    return info is None or info.state != states.IGNORED


def _request(app: Any, hint: Hint, agent_id: str) -> dict[str, Any]:
    """Return what a worker's main process makes of the message of a hint."""
    message = app.amqp.create_task_message(
        hint.task_id,
        hint.task_type,
        ignore_result=not hint.celery_result,
        retries=hint.attempt,
        root_id=hint.root_id,
        parent_id=hint.parent_id,
    )
    delivery = {"exchange": "", "routing_key": hint.queue, "redelivered": False}
    return {**message.headers, HINT: 1, "hostname": agent_id, "delivery_info": delivery}
