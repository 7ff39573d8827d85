"""A durable task and pipeline engine for agents, on Celery.

Agents are classes with capabilities (`BaseAgent`, `capability`). `connect()` returns the runtime,
with which tasks are enqueued and pipelines triggered. `worker_app` makes the Celery app of one
worker pool; `datamcp.celery` is the app of `celery -A datamcp`, built at its first use. `Retry`,
`Snooze`, `Cancel` and `Fail` are ends that a capability asks for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datamcp.agents.agent import BaseAgent
    from datamcp.agents.capability import capability
    from datamcp.bootstrap.runtime import Runtime
    from datamcp.pipelines.definition import PipelineDefinition, TaskDefinition
    from datamcp.public import connect, worker_app
    from datamcp.scheduling.schedule import Firing, Schedule
    from datamcp.scheduling.scheduler import TaskScheduler
    from datamcp.tasks.ask import Cancel, Fail, Retry, Snooze
    from datamcp.tasks.celery_app import LedgerCelery
    from datamcp.tasks.retry import RetryPolicy
    from datamcp.tasks.task import Task, TaskResult, TaskStatus

    celery: LedgerCelery

__version__ = "0.1.0"

__all__ = [
    "BaseAgent",
    "Cancel",
    "Fail",
    "Firing",
    "PipelineDefinition",
    "Retry",
    "RetryPolicy",
    "Runtime",
    "Schedule",
    "Snooze",
    "Task",
    "TaskDefinition",
    "TaskResult",
    "TaskScheduler",
    "TaskStatus",
    "capability",
    "celery",
    "connect",
    "worker_app",
]

_PLACES = {
    "BaseAgent": "datamcp.agents.agent",
    "Cancel": "datamcp.tasks.ask",
    "Fail": "datamcp.tasks.ask",
    "Firing": "datamcp.scheduling.schedule",
    "PipelineDefinition": "datamcp.pipelines.definition",
    "Retry": "datamcp.tasks.ask",
    "RetryPolicy": "datamcp.tasks.retry",
    "Runtime": "datamcp.bootstrap.runtime",
    "Schedule": "datamcp.scheduling.schedule",
    "Snooze": "datamcp.tasks.ask",
    "Task": "datamcp.tasks.task",
    "TaskDefinition": "datamcp.pipelines.definition",
    "TaskResult": "datamcp.tasks.task",
    "TaskScheduler": "datamcp.scheduling.scheduler",
    "TaskStatus": "datamcp.tasks.task",
    "capability": "datamcp.agents.capability",
    "connect": "datamcp.public",
    "worker_app": "datamcp.public",
}


def __getattr__(name: str) -> Any:
    """Import a public name at its first use, so that `import datamcp` costs next to nothing."""
    if name == "celery":
        from datamcp.public import celery_app

        value: Any = celery_app()
    elif name in _PLACES:
        value = getattr(import_module(_PLACES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value
