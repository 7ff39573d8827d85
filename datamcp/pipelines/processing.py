"""Data processors as task types: what a worker of the `pipelines` pool can run."""

from collections.abc import Sequence

from pydantic import TypeAdapter

from datamcp.errors import UnknownTaskTypeError
from datamcp.naming import did_you_mean
from datamcp.processors.processor import Inputs, ProcessingResult
from datamcp.processors.registry import ProcessorRegistry
from datamcp.tasks.loop import settle_awaitable
from datamcp.tasks.parameters import Parameters
from datamcp.tasks.ports import Call, TaskType
from datamcp.tasks.queues import PIPELINES


class ProcessorTypes:
    """Shows every processor of a registry as a task type."""

    def __init__(self, registry: ProcessorRegistry) -> None:
        """Take the registry; no engine is imported."""
        self._registry = registry
        self._types = {name: self._task_type(name) for name in registry.names()}

    def __contains__(self, name: object) -> bool:
        """Tell whether a processor has this name."""
        return name in self._types

    def resolve(self, name: str) -> TaskType:
        """Return a processor's task type; raises UnknownTaskTypeError."""
        if name not in self._types:
            raise UnknownTaskTypeError(name, did_you_mean(name, self._types).removeprefix("; "))
        return self._types[name]

    def all(self) -> Sequence[TaskType]:
        """Return the task types of all processors."""
        return tuple(self._types.values())

    def _task_type(self, name: str) -> TaskType:
        model = self._registry.config_model(name)
        parameters = Parameters(name, TypeAdapter(model), tuple(model.model_fields))
        return TaskType(
            name=name,
            queue=PIPELINES,
            parameters=parameters,
            handler=lambda call: settle_awaitable(self._process(name, call)),
            description=(model.__doc__ or "").strip(),
        )

    async def _process(self, name: str, call: Call) -> ProcessingResult:
        processor = self._registry.create(name)
        try:
            inputs = Inputs(call.inputs, call.context.workspace)
            return await processor.process(inputs, call.parameters)
        finally:
            await processor.cleanup()
