"""`rt.agents`: the specification's AgentManager. For now every task takes the shared queue."""

from datamcp.config.agents import AgentManagerConfig
from datamcp.tasks.task import Task, TaskResult, data_of
from datamcp.tasks.tasks import Tasks


class AgentManager:
    """Hands tasks to agents. The plain twin of each method is under `.sync`.

    A task goes to the common queue of its agent type: whichever agent is free takes it.
    """

    def __init__(self, config: AgentManagerConfig, *, tasks: Tasks) -> None:
        """Take the section `agent_manager`, and the task engine."""
        self.config = config
        self.sync = SyncAgentManager(tasks)
        self._tasks = tasks

    async def distribute_task(self, task: Task) -> TaskResult:
        """Enqueue a task and wait for its end, without holding a thread.

        Raises what `Tasks.enqueue` raises, and TaskExecutionError if the task ends without
        success.
        """
        task_id = await self._tasks.aio.enqueue(task)
        return success(await self._tasks.aio.result(task_id))


class SyncAgentManager:
    """The plain twin of AgentManager."""

    def __init__(self, tasks: Tasks) -> None:
        """Take the task engine."""
        self._tasks = tasks

    def distribute_task(self, task: Task) -> TaskResult:
        """Enqueue a task and wait for its end; raises as the awaitable twin does."""
        return success(self._tasks.result(self._tasks.enqueue(task)))


def success(result: TaskResult) -> TaskResult:
    """Return a result that is a success; raise TaskExecutionError for any other."""
    data_of(result)
    return result
