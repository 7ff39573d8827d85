"""Run what is due, here and now: the same claim, attempt and finish as in a worker."""

from collections import deque
from collections.abc import Iterator
from functools import partial
from types import TracebackType

from datamcp.agents.manager import success
from datamcp.bootstrap.runtime import Runtime
from datamcp.tasks.task import TaskResult
from datamcp.testing.errors import DrainLimitError
from datamcp.testing.inline import Attempt
from datamcp.testing.runtime import InlineRuntime
from datamcp.testing.watched import Raised

_SHOWN = 5  # of the last tasks, when there is no end


def drain(
    runtime: Runtime, *, queue: str | None = None, limit: int = 1000, raising: bool = False
) -> list[TaskResult]:
    """Run everything that is due, and what that leads to; return how tasks ended, in order.

    Schedules fire first, as a beat would have them do now.

    The highest priority comes first, and of that the longest waiting. What waits for its time
    runs once the runtime's clock is there. `queue` names the only queue (agent type, or
    `pipelines`) to work for. After `limit` attempts with no end in sight, DrainLimitError.
    `raising` ends at the first task that does not succeed: with the capability's own exception,
    or TaskExecutionError if it raised none.

    Nobody enforces timeouts here; and the ends of steps that never started are not returned.
    """
    __tracebackhide__ = True
    worker = _inline(runtime).worker
    while runtime.firer.go() == 0:
        pass
    return worker.act(partial(_results, worker.attempts(queue), limit, raising=raising))


def _results(attempts: Iterator[Attempt], limit: int, *, raising: bool) -> list[TaskResult]:
    __tracebackhide__ = True
    results: list[TaskResult] = []
    last: deque[str] = deque(maxlen=_SHOWN)
    for count, attempt in enumerate(attempts):
        if count == limit:
            raise DrainLimitError(limit, [*last])
        last.append(attempt.letter.task_type)
        if attempt.result is not None:
            results.append(_checked(attempt, attempt.result) if raising else attempt.result)
    return results


def _inline(runtime: Runtime) -> InlineRuntime:
    if isinstance(runtime, InlineRuntime):
        return runtime
    raise TypeError(
        "drain() needs a runtime without workers, as `datamcp_runtime` is where a test does not "
        "ask for `datamcp_worker`; here, wait for the result instead"
    )


def _checked(attempt: Attempt, result: TaskResult) -> TaskResult:
    __tracebackhide__ = True
    if not result.success and attempt.raised is not None:
        raise attempt.raised.error.with_traceback(_of_user(attempt.raised))
    return success(result)


def _of_user(raised: Raised) -> TracebackType | None:
    """Return the traceback from where it first leaves our code and the event loop's."""
    trace = raised.traceback
    while trace is not None:
        package = str(trace.tb_frame.f_globals.get("__name__")).partition(".")[0]
        if package not in {"asyncio", "datamcp"}:
            return trace
        trace = trace.tb_next
    return raised.traceback
