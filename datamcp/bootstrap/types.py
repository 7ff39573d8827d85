"""All task types of this installation: capabilities of agents, and processors."""

from collections.abc import Sequence

from datamcp.agents.registry import AgentTypes
from datamcp.errors import ConfigError, Problem, UnknownTaskTypeError
from datamcp.naming import did_you_mean
from datamcp.pipelines.processing import ProcessorTypes
from datamcp.tasks.ports import TaskType
from datamcp.tasks.queues import PIPELINES, split_task_type


class InstalledTypes:
    """Finds a task type by name, and by the queue that serves it."""

    def __init__(self, agents: AgentTypes, processors: ProcessorTypes) -> None:
        """Take both kinds; raises ConfigError if an agent type has a name that is taken."""
        self._agents = agents
        self._processors = processors
        taken = {PIPELINES, *(split_task_type(kind.name)[0] for kind in processors.all())}
        problems = [
            Problem(f"agents.{name}", "is the name of a group of processors; choose another")
            for name in agents.names()
            if name in taken
        ]
        if problems:
            raise ConfigError(str(problems[0]), problems)

    def resolve(self, name: str) -> TaskType:
        """Return a task type; raises UnknownTaskTypeError for any other name."""
        if name in self._processors:
            return self._processors.resolve(name)
        owner, _ = split_task_type(name)
        if owner in self._agents:
            return self._agents.resolve(owner, name)
        raise UnknownTaskTypeError(name, self._hint(owner, name))

    def knows(self, name: str) -> bool:
        """Tell whether there is a task type of this name."""
        try:
            self.resolve(name)
        except UnknownTaskTypeError:
            return False
        return True

    def served_by(self, queue: str) -> Sequence[TaskType]:
        """Return the task types of a queue."""
        return self._processors.all() if queue == PIPELINES else self._agents.served_by(queue)

    def queues(self) -> Sequence[str]:
        """Return the names of all queues, that of pipeline steps first."""
        return (PIPELINES, *self._agents.names())

    def _hint(self, owner: str, name: str) -> str:
        _, _, capability = name.partition(".")
        # The owner alone must be near: any two names are when they share a long capability.
        agents = [one for one in self._agents.names() if did_you_mean(owner, [one])]
        meant = [f"{agent_type}.{capability}" for agent_type in agents]
        near = did_you_mean(name, [*meant, *(kind.name for kind in self._processors.all())])
        if near:
            return near.removeprefix("; ")
        if capability and owner.isidentifier():
            return f"switch its agent on with `agents: {{{owner}: {{module: ...}}}}`"
        return "it is an agent type and a capability, such as 'research.report'"
