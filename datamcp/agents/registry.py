"""The agent types that have a class: their classes, imported when they are first needed."""

import importlib
import inspect
import threading
from collections.abc import Mapping, Sequence

from datamcp.agents.agent import BaseAgent, capabilities_of
from datamcp.agents.capability import CapabilityMethod
from datamcp.config.agents import AgentConfig
from datamcp.errors import ConfigError, Problem, UnknownTaskTypeError
from datamcp.naming import did_you_mean
from datamcp.tasks.loop import settle_awaitable
from datamcp.tasks.parameters import Parameters
from datamcp.tasks.ports import Call, TaskType
from datamcp.tasks.retry import RetryPolicy, overridden


class AgentTypes:
    """Finds the classes that the configuration names, and what they can do."""

    def __init__(
        self,
        agents: Mapping[str, AgentConfig],
        *,
        default_timeout: float,
        default_retries: RetryPolicy,
    ) -> None:
        """Take the section `agents`, and what holds where neither it nor a capability says more.

        Nothing is imported yet.
        """
        self._agents = {name: config for name, config in agents.items() if config.module}
        self._default_timeout = default_timeout
        self._default_retries = default_retries
        self._types: dict[str, dict[str, TaskType]] = {}

    def __contains__(self, agent_type: object) -> bool:
        """Tell whether an agent type is switched on, and has a class."""
        return agent_type in self._agents

    def names(self) -> Sequence[str]:
        """Return the agent types that are switched on, and have a class."""
        return tuple(self._agents)

    def has(self, agent_type: str, name: str) -> bool:
        """Tell whether an agent type that is switched on has a capability; raises ConfigError."""
        return name in self._types_of(agent_type)

    def resolve(self, agent_type: str, name: str) -> TaskType:
        """Return one capability of an agent type that is switched on.

        Raises UnknownTaskTypeError, and ConfigError if the class can't be used.
        """
        types = self._types_of(agent_type)
        if name not in types:
            raise UnknownTaskTypeError(name, _hint(agent_type, name, types))
        return types[name]

    def served_by(self, agent_type: str) -> Sequence[TaskType]:
        """Return all capabilities of an agent type."""
        return tuple(self._types_of(agent_type).values())

    def agent_class(self, agent_type: str) -> type[BaseAgent]:
        """Import an agent's class.

        Raises ConfigError, with the setting at fault, if it can't be used.
        """
        path = f"agents.{agent_type}.module"
        found = _import(path, str(self._agents[agent_type].module))
        if not (isinstance(found, type) and issubclass(found, BaseAgent)):
            raise _refused(path, "is not a class derived from datamcp.BaseAgent")
        if found.agent_type not in {"", agent_type}:
            raise _refused(path, f"is an agent of type {found.agent_type!r}, not {agent_type!r}")
        return found

    def _types_of(self, agent_type: str) -> dict[str, TaskType]:
        if agent_type not in self._types:
            agent_class = self.agent_class(agent_type)
            host = AgentHost(agent_class, agent_type)
            try:
                self._types[agent_type] = {
                    name: self._task_type(agent_type, name, method, host)
                    for name, method in capabilities_of(agent_class, agent_type).items()
                }
            except TypeError as error:
                raise _refused(f"agents.{agent_type}.module", str(error)) from error
        return self._types[agent_type]

    def _task_type(
        self, agent_type: str, name: str, method: CapabilityMethod, host: "AgentHost"
    ) -> TaskType:
        config = self._agents[agent_type]
        of_agent = overridden(self._default_retries, None, config.retry_attempts)
        return TaskType(
            name=name,
            queue=agent_type,
            parameters=Parameters.of(name, method.function),
            handler=lambda call: host.run(method, call),
            timeout=method.timeout or config.timeout or self._default_timeout,
            retry_policy=overridden(of_agent, method.retry_policy, method.retry_count),
            description=inspect.getdoc(method.function) or "",
            limit=method.limit,
            batch=method.batch,
            is_async=inspect.iscoroutinefunction(method.function),
        )


class AgentHost:
    """Holds this process's one instance of an agent class."""

    def __init__(self, agent_class: type[BaseAgent], agent_type: str) -> None:
        """Take the class; the instance is made at the first call."""
        self._agent_class = agent_class
        self._agent_type = agent_type
        self._agent: BaseAgent | None = None
        self._lock = threading.Lock()

    def run(self, method: CapabilityMethod, call: Call) -> object:
        """Run a capability on the instance; a coroutine is run to its end."""
        agent = self._instance(call.context.agent_id)
        return settle_awaitable(method.function(agent, **call.parameters))

    def _instance(self, agent_id: str) -> BaseAgent:
        with self._lock:
            if self._agent is None:
                self._agent = self._agent_class()
                self._agent.agent_id = agent_id
            return self._agent


def _import(path: str, target: str) -> object:
    module_name, _, attribute = target.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise _refused(path, f"no module named {error.name!r} can be imported") from error
    except Exception as error:
        raise _refused(path, f"importing {module_name} raised {error!r}") from error
    if not hasattr(module, attribute):
        hint = did_you_mean(attribute, vars(module))
        raise _refused(path, f"module {module_name} has no {attribute!r}{hint}")
    return getattr(module, attribute)


def _refused(path: str, message: str) -> ConfigError:
    problem = Problem(path, message)
    return ConfigError(str(problem), [problem])


def _hint(agent_type: str, name: str, types: Mapping[str, TaskType]) -> str:
    near = did_you_mean(name, types).removeprefix("; ")
    return near or f"{agent_type} has {', '.join(types) or 'no capabilities'}"
