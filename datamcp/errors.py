"""Every error that datamcp raises on purpose, in one tree.

DatamcpError
├── ConfigError
├── BackendUnavailable
├── SchemaVersionError
├── StackError
├── TaskError
│   ├── UnknownTaskTypeError
│   ├── InvalidParametersError
│   ├── IdempotencyConflictError
│   ├── BulkEnqueueError
│   ├── QueueFullError
│   ├── TaskNotFoundError
│   ├── NotDeadLetterError
│   ├── TaskExecutionError
│   │   ├── TaskTimedOutError
│   │   └── TaskCancelledError
│   ├── CallDepthError
│   ├── CallInterruptedError
│   └── ResultTimeoutError
├── AgentError
│   ├── AgentRegistrationError
│   └── NoAvailableAgentError
├── PipelineError
│   ├── InvalidPipelineError
│   ├── ExpressionError
│   ├── PipelineNotFoundError
│   ├── RunNotFoundError
│   └── ProcessingError
└── ScheduleError
    ├── InvalidScheduleError
    ├── ScheduleExistsError
    └── ScheduleNotFoundError

Each error says in its message which rule was broken and by which value, and never a secret. The
evidence stands in attributes. Errors survive JSON, on their way through Celery's result backend:
`args` are those of the constructor, and plain values.
"""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple


class Problem(NamedTuple):
    """One thing that is wrong with an input: where, and what."""

    path: str
    message: str

    def __str__(self) -> str:
        """Return `path: message`, or the message alone where there is no path."""
        return f"{self.path}: {self.message}" if self.path else self.message


class DatamcpError(Exception):
    """Something that datamcp refuses or could not do.

    `code` names the kind of error in results, JSON and the ledger. `is_retryable` tells whether
    the same call may succeed later without any change by the caller. `exit_code` is how a command
    ends that met it: 1 the work failed, 2 wrong input, 3 a service is unreachable.
    """

    code: ClassVar[str] = "error"
    is_retryable: ClassVar[bool] = False
    exit_code: int = 2

    def __init__(self, message: str = "") -> None:
        """Take what to tell; `args` stay what the error was made with."""
        self.message = message

    def __str__(self) -> str:
        """Return the message."""
        return self.message


class ConfigError(DatamcpError):
    """The configuration is wrong; `problems` lists every setting at fault."""

    code = "invalid_config"

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        """Take a summary and the settings at fault."""
        super().__init__(message)
        self.problems = tuple(Problem(*problem) for problem in problems)


class BackendUnavailable(DatamcpError):  # noqa: N818  the name is fixed by the house style
    """A service does not answer; nothing was changed unless the message says so."""

    code = "backend_unavailable"
    is_retryable = True
    exit_code = 3

    def __init__(self, service: str, reason: str) -> None:
        """Take the service (`database`, `broker`) and why it cannot be reached."""
        super().__init__(f"{service} is unreachable: {reason}")
        self.service = service
        self.reason = reason


class SchemaVersionError(DatamcpError):
    """The ledger's tables are of another version than this program needs."""

    code = "schema_version"


class StackError(DatamcpError):
    """The processes of a stack can't be kept running, or did not get their work done."""

    code = "stack_failed"
    exit_code = 1

    def __init__(self, message: str, exit_code: int = 1) -> None:
        """Take what to tell, and the exit code of the process that is to blame, if it is one."""
        super().__init__(message)
        self.args = (message, exit_code)
        self.exit_code = exit_code


class TaskError(DatamcpError):
    """Something is wrong with a task."""

    code = "task_error"


class UnknownTaskTypeError(TaskError):
    """No configured agent or processor has this task type."""

    code = "unknown_task_type"

    def __init__(self, task_type: str, hint: str = "") -> None:
        """Take the name that was asked for, and what the caller may do about it."""
        super().__init__(f"unknown task type {task_type!r}" + (f"; {hint}" if hint else ""))
        self.task_type = task_type


class InvalidParametersError(TaskError):
    """The parameters do not fit the capability's signature; nothing was enqueued."""

    code = "invalid_parameters"

    def __init__(self, task_type: str, problems: Sequence[Problem]) -> None:
        """Take the task type and every parameter at fault."""
        self.problems = tuple(Problem(*problem) for problem in problems)
        super().__init__(f"invalid parameters for {task_type}: {_listed(self.problems)}")
        self.task_type = task_type


class IdempotencyConflictError(TaskError):
    """The idempotency key was already used for a task with other parameters."""

    code = "idempotency_conflict"

    def __init__(self, task_type: str, key: str, task_id: str) -> None:
        """Take the key's scope, the key, and the task that holds it."""
        super().__init__(
            f"idempotency key {key!r} of {task_type} already belongs to task {task_id}, "
            "which has other parameters"
        )
        self.task_type = task_type
        self.key = key
        self.task_id = task_id


class BulkEnqueueError(TaskError):
    """One of many tasks can't be enqueued, so none of them was; `__cause__` is its own error."""

    code = "bulk_refused"

    def __init__(self, index: int, reason: str) -> None:
        """Take the place of the task among the others, from 0, and what is wrong with it."""
        super().__init__(f"tasks[{index}]: {reason}; nothing was enqueued")
        self.args = (index, reason)
        self.index = index
        self.reason = reason


class QueueFullError(TaskError):
    """Too many tasks wait in the queue already; nothing was enqueued, and later there is room."""

    code = "queue_full"
    is_retryable = True
    exit_code = 1

    def __init__(self, queue: str, limit: int, count: int = 1) -> None:
        """Take the queue, how many tasks may wait in it, and how many were to be put in."""
        more = "" if count == 1 else f"; {count} more do not fit"
        super().__init__(
            f"queue {queue} is full: {limit} tasks may wait in it (scheduler.max_queue_size){more}"
        )
        self.args = (queue, limit, count)
        self.queue = queue
        self.limit = limit
        self.count = count


class TaskNotFoundError(TaskError):
    """The ledger has no task of this id."""

    code = "task_not_found"

    def __init__(self, task_id: str) -> None:
        """Take the id that was asked for."""
        super().__init__(f"no task {task_id!r} in the ledger")
        self.task_id = task_id


class NotDeadLetterError(TaskError):
    """The task is no dead letter, or none any more."""

    code = "not_a_dead_letter"

    def __init__(self, task_id: str, state: str, followed_by: str | None = None) -> None:
        """Take the task, its state, and the task that repeats it, if one does."""
        follower = "" if followed_by is None else f", and was requeued as {followed_by}"
        super().__init__(f"task {task_id} is not among the dead letters: it is {state}{follower}")
        self.args = (task_id, state, followed_by)
        self.task_id = task_id
        self.state = state
        self.followed_by = followed_by


class TaskExecutionError(TaskError):
    """The task ended without success."""

    code = "task_failed"
    exit_code = 1

    def __init__(self, task_id: str, error_code: str, message: str) -> None:
        """Take the task, its error code, and what its last attempt said."""
        super().__init__(f"task {task_id} failed ({error_code}): {message}")
        self.task_id = task_id
        self.error_code = error_code
        self.error_message = message


class TaskTimedOutError(TaskExecutionError):
    """The task ran out of its time, in the last of its attempts."""

    code = "task_timed_out"


class TaskCancelledError(TaskExecutionError):
    """The task was cancelled, or had no reason to run."""

    code = "task_cancelled"


class CallDepthError(TaskError):
    """Tasks that call tasks are as deep as they may be; nothing was enqueued."""

    code = "call_depth"

    def __init__(self, task_type: str, limit: int) -> None:
        """Take what was to be called, and how many calls may stand one inside of the other."""
        super().__init__(
            f"{task_type} was not called: {limit} calls stand one inside of the other already, "
            "and no more may; does a task call itself without an end?"
        )
        self.task_type = task_type
        self.limit = limit


class CallInterruptedError(TaskError):
    """The caller was told to stop while it waited for a task that it had called."""

    code = "call_interrupted"
    exit_code = 1

    def __init__(self, task_id: str) -> None:
        """Take the task that was waited for."""
        super().__init__(f"no longer waiting for task {task_id}: its caller is to stop")
        self.task_id = task_id


class ResultTimeoutError(TaskError, TimeoutError):
    """The task was not finished in time; it goes on, and may be asked for again."""

    code = "result_timeout"
    is_retryable = True
    exit_code = 1

    def __init__(self, task_id: str, timeout: float, state: str) -> None:
        """Take the task, the seconds waited, and the task's state now."""
        super().__init__(f"task {task_id} is still {state} after {timeout:g} s")
        self.args = (task_id, timeout, state)  # an OSError drops them
        self.task_id = task_id
        self.timeout = timeout
        self.state = state


class AgentError(DatamcpError):
    """Something is wrong with an agent."""

    code = "agent_error"


class AgentRegistrationError(AgentError):
    """The agent cannot be registered."""

    code = "agent_registration"


class NoAvailableAgentError(AgentError):
    """No healthy agent is able to run the task."""

    code = "no_available_agent"


class PipelineError(DatamcpError):
    """Something is wrong with a pipeline or one of its runs."""

    code = "pipeline_error"


class InvalidPipelineError(PipelineError):
    """The definition is wrong; `problems` lists everything that is."""

    code = "invalid_pipeline"

    def __init__(self, name: str, problems: Sequence[Problem]) -> None:
        """Take the pipeline's name or file, and every problem found."""
        self.problems = tuple(Problem(*problem) for problem in problems)
        super().__init__(f"pipeline {name} is not valid: {_listed(self.problems)}")
        self.name = name


class ExpressionError(PipelineError, ValueError):
    """The text of an expression can't be understood; `column` counts its characters from 1."""

    code = "invalid_expression"

    def __init__(self, message: str, column: int) -> None:
        """Take what is wrong, and where it begins to be."""
        super().__init__(message)
        self.args = (message, column)
        self.column = column


class PipelineNotFoundError(PipelineError):
    """No pipeline of this id, or not in this version, is registered."""

    code = "pipeline_not_found"


class RunNotFoundError(PipelineError):
    """The ledger has no pipeline run of this id."""

    code = "run_not_found"

    def __init__(self, run_id: str) -> None:
        """Take the id that was asked for."""
        super().__init__(f"no pipeline run {run_id!r} in the ledger")
        self.run_id = run_id


class ProcessingError(PipelineError):
    """A processor cannot do its work with this input; the same input will fail again."""

    code = "processing_error"


class ScheduleError(DatamcpError):
    """Something is wrong with a schedule."""

    code = "schedule_error"


class InvalidScheduleError(ScheduleError):
    """Its times, or its time zone, can't be read."""

    code = "invalid_schedule"

    def __init__(self, text: str, reason: str) -> None:
        """Take what was written, and what is wrong with it."""
        super().__init__(reason)
        self.text = text
        self.reason = reason


class ScheduleExistsError(ScheduleError):
    """A schedule has this name, or this id, already."""

    code = "schedule_exists"

    def __init__(self, name: str) -> None:
        """Take the name, or the id."""
        super().__init__(
            f"there is a schedule {name!r} already; change it (`datamcp schedule update`), "
            "or remove it first"
        )
        self.name = name


class ScheduleNotFoundError(ScheduleError):
    """No schedule has this id or name."""

    code = "schedule_not_found"

    def __init__(self, key: str, hint: str = "") -> None:
        """Take what was asked for, and what may have been meant."""
        super().__init__(f"no schedule {key!r}{hint}")
        self.key = key
        self.hint = hint


def _listed(problems: Sequence[Problem]) -> str:
    return "; ".join(str(problem) for problem in problems)
