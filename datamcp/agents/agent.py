"""The base of every agent."""

import inspect
from typing import Any, ClassVar

from datamcp.agents.capability import AgentCapability, CapabilityMethod, ParameterSpec
from datamcp.errors import AgentError
from datamcp.tasks.context import TaskContext, current
from datamcp.tasks.parameters import Parameters


class BaseAgent:
    """A kind of worker: a class with capabilities.

    A worker process of the type makes one instance, at its first task, and uses it for all; in a
    pool of threads several capabilities run on it at once.
    """

    agent_type: ClassVar[str] = ""
    agent_id: str = ""
    """The worker process that this instance lives in; empty outside of one."""

    @property
    def context(self) -> TaskContext:
        """The task that runs here and now; raises AgentError outside of one."""
        context = current.get()
        if context is None:
            raise AgentError(f"{type(self).__name__}.context: no task is running here")
        return context

    def get_capabilities(self) -> list[AgentCapability]:
        """Return what this agent can do, in the order of the class."""
        return [
            describe(self.agent_type, method)
            for method in capabilities_of(type(self), self.agent_type).values()
        ]


def capabilities_of(agent_class: type, agent_type: str) -> dict[str, CapabilityMethod]:
    """Return the capabilities of a class and its bases, by the name they are enqueued under."""
    found: dict[str, CapabilityMethod] = {}
    for base in reversed(agent_class.__mro__):
        for name, member in vars(base).items():
            if isinstance(member, CapabilityMethod):
                found[f"{agent_type}.{name}"] = member
            else:
                found.pop(f"{agent_type}.{name}", None)
    return found


def describe(agent_type: str, method: CapabilityMethod) -> AgentCapability:
    """Return what a capability takes and returns, from its signature."""
    name = f"{agent_type}.{method.name}"
    schema = Parameters.of(name, method.function).schema
    signature = inspect.signature(method.function)
    specs = {
        parameter: ParameterSpec(
            name=parameter,
            type=shape,
            required=parameter in schema.get("required", ()),
            default=_default(signature.parameters[parameter]),
            description=shape.get("description", ""),
        )
        for parameter, shape in schema.get("properties", {}).items()
    }
    return AgentCapability(
        name=name,
        description=inspect.getdoc(method.function) or "",
        input_types=[str(spec.type.get("type", "any")) for spec in specs.values()],
        output_types=[_shown(signature.return_annotation)],
        parameters=specs,
    )


def _default(parameter: inspect.Parameter) -> Any:
    return None if parameter.default is inspect.Parameter.empty else parameter.default


def _shown(annotation: Any) -> str:
    return "any" if annotation is inspect.Signature.empty else inspect.formatannotation(annotation)
