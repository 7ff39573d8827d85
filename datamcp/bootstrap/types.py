"""All task types of this installation: capabilities of agents, Celery tasks, and processors."""

from collections.abc import Sequence

from datamcp.agents.celery_tasks import CeleryTasks
from datamcp.agents.registry import AgentTypes
from datamcp.errors import ConfigError, Problem, UnknownTaskTypeError
from datamcp.naming import did_you_mean
from datamcp.pipelines.configurations import Checked
from datamcp.pipelines.processing import ProcessorTypes
from datamcp.tasks.ports import TaskType
from datamcp.tasks.queues import PIPELINES, split_task_type


class InstalledTypes:
    """Finds a task type by name, and by the queue that serves it."""

    def __init__(
        self,
        agents: AgentTypes,
        processors: ProcessorTypes,
        celery_tasks: CeleryTasks,
        more_queues: Sequence[str] = (),
    ) -> None:
        """Take all kinds, and the queues that agent types serve besides their own.

        Raises ConfigError if an agent type has a name that is taken.
        """
        self._agents = agents
        self._processors = processors
        self._celery_tasks = celery_tasks
        self._more_queues = tuple(more_queues)
        taken = {PIPELINES, *(split_task_type(name)[0] for name in processors.names())}
        problems = [
            Problem(f"agents.{name}", "is the name of a group of processors; choose another")
            for name in (*agents.names(), *celery_tasks.names())
            if name in taken
        ]
        if problems:
            raise ConfigError(str(problems[0]), problems)

    def resolve(self, name: str) -> TaskType:
        """Return a task type; raises UnknownTaskTypeError for any other name."""
        if name in self._processors:
            return self._processors.resolve(name)
        owner, _ = split_task_type(name)
        if has_capability(self._agents, name):
            return self._agents.resolve(owner, name)
        found = self._celery_tasks.resolve(name)
        if found is not None:
            return found
        if owner in self._agents:
            return self._agents.resolve(owner, name)  # which says what it has instead
        raise UnknownTaskTypeError(name, self._hint(owner, name))

    def accepted(self, name: str) -> Checked | None:
        """Return what a task type accepts, None if only a call of it tells.

        Raises UnknownTaskTypeError for a name that there is not.
        """
        parameters = self.resolve(name).parameters
        return parameters if isinstance(parameters, Checked) else None

    def served_by(self, queue: str) -> Sequence[TaskType]:
        """Return the task types of a pool, by the queue that has its name."""
        if queue in self._celery_tasks:
            return self._celery_tasks.served_by(queue)
        return self._processors.all() if queue == PIPELINES else self._agents.served_by(queue)

    def processor_problems(self) -> Sequence[Problem]:
        """Return what is wrong with processors of installed packages; imports them."""
        return self._processors.problems()

    def pools(self) -> Sequence[str]:
        """Return the names of all pools, and of their queues: that of pipeline steps first."""
        return (PIPELINES, *self._agents.names(), *self._celery_tasks.names())

    def queues(self) -> Sequence[str]:
        """Return the names of all queues, those of pools first."""
        return (*self.pools(), *self._more_queues)

    def _hint(self, owner: str, name: str) -> str:
        module = self._celery_tasks.unlisted(name)
        if module:
            return f"list its module with `agents: {{TYPE: {{tasks: [{module}]}}}}`"
        _, _, capability = name.partition(".")
        # The owner alone must be near: any two names are when they share a long capability.
        agents = [one for one in self._agents.names() if did_you_mean(owner, [one])]
        meant = [f"{agent_type}.{capability}" for agent_type in agents]
        others = [*self._processors.names(), *self._celery_tasks.known()]
        near = did_you_mean(name, [*meant, *others])
        if near:
            return near.removeprefix("; ")
        if capability and owner.isidentifier():
            return f"switch its agent on with `agents: {{{owner}: {{module: ...}}}}`"
        return "it is an agent type and a capability, such as 'research.report'"


def has_capability(agents: AgentTypes, name: str) -> bool:
    """Tell whether an agent has a capability of this name; imports the agent's class for that."""
    owner, _ = split_task_type(name)
    return owner in agents and agents.has(owner, name)
