"""Capabilities: methods of an agent that can be enqueued.

On an instance a capability is the plain method. On its class it is a Celery task, with `delay`,
`apply_async`, `s` and the rest.
"""

import inspect
from collections.abc import Callable
from importlib import import_module
from types import MethodType
from typing import Any, overload

from pydantic import BaseModel, ConfigDict, Field

from datamcp.errors import AgentError
from datamcp.naming import did_you_mean
from datamcp.tasks.limit import MOST_TOGETHER, Limit, spacing_of
from datamcp.tasks.retry import MOST_ATTEMPTS, RetryPolicy


class ParameterSpec(BaseModel):
    """One parameter of a capability; `type` is its JSON Schema."""

    model_config = ConfigDict(frozen=True)

    name: str
    type: dict[str, Any]
    required: bool
    default: Any = None
    description: str = ""


class AgentCapability(BaseModel):
    """What a capability is called, takes and returns."""

    model_config = ConfigDict(frozen=True)

    name: str
    description: str
    input_types: list[str] = Field(default_factory=list)
    output_types: list[str] = Field(default_factory=list)
    parameters: dict[str, ParameterSpec] = Field(default_factory=dict)


class CapabilityMethod:
    """What `@capability` makes of a method."""

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        timeout: float | None = None,
        limit: Limit | None = None,
        retry_count: int | None = None,
        retry_policy: RetryPolicy | None = None,
        batch: int = 1,
    ) -> None:
        """Take the method, its timeout (s), limit and retries, and how many may travel together.

        Raises AgentError for a number of retries or of tasks that can't be.
        """
        if type(batch) is not int or not 1 <= batch <= MOST_TOGETHER or (batch > 1 and limit):
            problem = f"batch must be a whole number from 1 to {MOST_TOGETHER}, got {batch!r}"
            if limit and batch != 1:
                problem = "tasks under a limit can't travel together: leave out batch, or the limit"
            raise AgentError(f"capability {function.__name__}: {problem}")
        if retry_count is not None and not 0 <= retry_count < MOST_ATTEMPTS:
            most = MOST_ATTEMPTS - 1
            message = f"retry_count must be from 0 to {most}, got {retry_count}"
            raise AgentError(f"capability {function.__name__}: {message}")
        self.function = function
        self.timeout = timeout
        self.limit = limit
        self.retry_count = retry_count
        self.retry_policy = retry_policy
        self.batch = batch
        self.name = function.__name__
        self.__doc__ = function.__doc__
        self.__wrapped__ = function

    def __set_name__(self, owner: type, name: str) -> None:
        """Learn the name under which the class holds it."""
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> "CapabilityOfClass": ...

    @overload
    def __get__(self, instance: object, owner: type) -> MethodType: ...

    def __get__(self, instance: object | None, owner: type) -> "CapabilityOfClass | MethodType":
        """Return the plain method of an instance, or the Celery task of the class."""
        if instance is None:
            return CapabilityOfClass(self, owner)
        return MethodType(self.function, instance)


class CapabilityOfClass:
    """A capability as its class shows it: whatever is asked of it, its Celery task answers.

    The task belongs to `datamcp.celery`, which is built at the first use from the same
    configuration as the command line's.
    """

    def __init__(self, capability: CapabilityMethod, owner: type) -> None:
        """Take the method and the class that was asked."""
        self._capability = capability
        self._owner = owner

    @property
    def task_type(self) -> str:
        """The name under which the capability is enqueued, such as `research.report`."""
        return f"{getattr(self._owner, 'agent_type', '')}.{self._capability.name}"

    def __getattr__(self, name: str) -> Any:
        """Ask the Celery task."""
        if name.startswith("__"):
            raise AttributeError(name)
        # The package itself, not a module of ours: `datamcp.celery` is the one current app there is.
        app = import_module("datamcp").celery
        return getattr(app.task_of(self.task_type), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself, with the instance first, as a class's method is called."""
        return self._capability.function(*args, **kwargs)

    def __repr__(self) -> str:
        """Name the task."""
        return f"<capability {self.task_type}>"


@overload
def capability(function: Callable[..., Any], /) -> CapabilityMethod: ...


@overload
def capability(
    *,
    timeout: float | None = None,
    retry_count: int | None = None,
    retry_policy: RetryPolicy | None = None,
    max_running: int | None = None,
    rate: str | None = None,
    per: str | None = None,
    batch: int = 1,
) -> Callable[..., CapabilityMethod]: ...


def capability(
    function: Callable[..., Any] | None = None,
    /,
    *,
    timeout: float | None = None,
    retry_count: int | None = None,
    retry_policy: RetryPolicy | None = None,
    max_running: int | None = None,
    rate: str | None = None,
    per: str | None = None,
    batch: int = 1,
) -> CapabilityMethod | Callable[..., CapabilityMethod]:
    """Mark a method of an agent as a capability; it may be `async`.

    Its parameters are checked from the annotations when a task is enqueued, and once more in the
    worker. What it returns must have a JSON form. `timeout` (s) holds where the task names none,
    and so do its retries: `retry_count` is how many follow the first attempt, `retry_policy`
    everything about them.

    Across all workers, at most `max_running` of its tasks run at once, and they start no oftener
    than at `rate`: `"10/m"` is one every six seconds; `s`, `m`, `h` and `d` are seconds, minutes,
    hours and days. With `per`, the name of a parameter, both hold for each of its values by
    itself.

    `batch` is for tiny tasks: of those that are enqueued by one `enqueue_many`, up to so many travel
    in one message, are claimed together, and run one after the other on one slot. Each has its own
    row, timeout, retries and result as ever. Raises AgentError for a limit, a number of retries or
    a batch that makes no sense.
    """
    if function is not None:
        return CapabilityMethod(function, timeout=timeout)
    return lambda method: CapabilityMethod(
        method,
        timeout=timeout,
        limit=_limit(method, max_running, rate, per),
        retry_count=retry_count,
        retry_policy=retry_policy,
        batch=batch,
    )


def _limit(
    function: Callable[..., Any], max_running: int | None, rate: str | None, per: str | None
) -> Limit | None:
    if max_running is None and rate is None and per is None:
        return None
    problem = _problem(max_running, rate, per)
    if problem is not None:
        raise AgentError(f"capability {function.__name__}: {problem}")
    spacing = None if rate is None else spacing_of(rate)
    return Limit(max_running, spacing, per, _default_of(function, per))


def _problem(max_running: int | None, rate: str | None, per: str | None) -> str | None:
    if max_running is None and rate is None:
        return f"per={per!r} says whose limit it is, but not which: add max_running or rate"
    if max_running is not None and (type(max_running) is not int or max_running < 1):
        return f"max_running must be a whole number above 0, got {max_running!r}"
    try:
        if rate is not None:
            spacing_of(rate)
    except ValueError as error:
        return str(error)
    return None


def _default_of(function: Callable[..., Any], per: str | None) -> Any:
    """Return the default of the parameter that a limit is for; raises AgentError if it has none."""
    if per is None:
        return None
    parameters = [one for one in inspect.signature(function).parameters if one != "self"]
    if per not in parameters:
        there_are = did_you_mean(per, parameters) or f"; it has {', '.join(parameters) or 'none'}"
        raise AgentError(f"capability {function.__name__}: per={per!r} is no parameter{there_are}")
    default = inspect.signature(function).parameters[per].default
    return None if default is inspect.Parameter.empty else default
