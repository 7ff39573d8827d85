"""Capabilities: methods of an agent that can be enqueued.

On an instance a capability is the plain method. On its class it is a Celery task, with `delay`,
`apply_async`, `s` and the rest.
"""

from collections.abc import Callable
from importlib import import_module
from types import MethodType
from typing import Any, overload

from pydantic import BaseModel, ConfigDict, Field


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

    def __init__(self, function: Callable[..., Any], *, timeout: float | None = None) -> None:
        """Take the method and its timeout in seconds."""
        self.function = function
        self.timeout = timeout
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
def capability(*, timeout: float | None = None) -> Callable[..., CapabilityMethod]: ...


def capability(
    function: Callable[..., Any] | None = None, /, *, timeout: float | None = None
) -> CapabilityMethod | Callable[..., CapabilityMethod]:
    """Mark a method of an agent as a capability; it may be `async`.

    Its parameters are checked from the annotations when a task is enqueued, and once more in the
    worker. What it returns must have a JSON form. `timeout` (s) holds where the task names none.
    """
    if function is not None:
        return CapabilityMethod(function, timeout=timeout)
    return lambda method: CapabilityMethod(method, timeout=timeout)
