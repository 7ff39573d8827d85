"""Data processors as task types: what a worker of the `pipelines` pool can run."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import ErrorDetails

from datamcp.errors import Problem, ProcessingError, UnknownTaskTypeError
from datamcp.naming import did_you_mean
from datamcp.pipelines import slotless
from datamcp.processors.processor import Inputs, ProcessingResult, require_valid
from datamcp.processors.registry import ProcessorRegistry
from datamcp.tasks.loop import settle_awaitable
from datamcp.tasks.parameters import Parameters
from datamcp.tasks.ports import Call, TaskType
from datamcp.tasks.queues import PIPELINES

Watermark = Callable[[str, str], str | None]
"""Returns how far (JSON) the last success of a step has read, by a run's id and the step's."""


class ProcessorTypes:
    """Shows every processor of a registry as a task type."""

    def __init__(
        self, registry: ProcessorRegistry, watermark: Watermark = lambda _run_id, _step_id: None
    ) -> None:
        """Take the registry, and who knows how far steps have read; neither an engine nor a class of others is imported."""
        self._registry = registry
        self._watermark = watermark
        self._types = slotless.task_types() | {
            name: self._task_type(name) for name in registry.names()
        }

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

    def names(self) -> Sequence[str]:
        """Return the names of all processors."""
        return tuple(self._types)

    def problems(self) -> Sequence[Problem]:
        """Return what is wrong with processors of installed packages; imports them."""
        return self._registry.problems()

    def _task_type(self, name: str) -> TaskType:
        return TaskType(
            name=name,
            queue=PIPELINES,
            parameters=_Options(self._registry, name),
            handler=lambda call: settle_awaitable(self._process(name, call)),
            description=self._registry.description(name),
            is_async=True,
        )

    async def _process(self, name: str, call: Call) -> ProcessingResult:
        processor = self._registry.create(name)
        try:
            inputs = self._inputs(call)
            require_valid(processor.validate_config(call.parameters))
            return _checked(name, await processor.process(inputs, call.parameters))
        finally:
            await processor.cleanup()

    def _inputs(self, call: Call) -> Inputs:
        context = call.context
        is_step = context.run_id is not None and context.step_id is not None
        last = self._watermark(str(context.run_id), str(context.step_id)) if is_step else None
        return Inputs(
            call.inputs,
            context.workspace,
            task_id=context.task_id,
            idempotency_key=context.idempotency_key,
            watermark=last,
        )


def _checked(name: str, result: object) -> ProcessingResult:
    if not isinstance(result, ProcessingResult):  # a stranger's processor may return anything
        kind = type(result).__name__
        raise ProcessingError(f"processor {name!r} returned {kind}, and not a ProcessingResult")
    return result


class _Options:
    """What a processor accepts, known when it is first asked for: its class may be a stranger's."""

    def __init__(self, registry: ProcessorRegistry, name: str) -> None:
        self._registry = registry
        self._name = name

    @property
    def names(self) -> Sequence[str]:
        return self._parameters.names

    def dump(self, values: Mapping[str, Any]) -> str:
        return self._parameters.dump(values)

    def dump_call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        return self._parameters.dump_call(args, kwargs)

    def load(self, text: str) -> Any:
        return self._parameters.load(text)

    def errors(self, values: Mapping[str, Any]) -> list[ErrorDetails]:
        return self._parameters.errors(values)

    def faults(self, values: Mapping[str, Any]) -> Sequence[Problem]:
        config = self.load(self.dump(values))
        checked = self._registry.create(self._name).validate_config(config)
        return [Problem(one.path, one.message) for one in checked.errors]

    def parse(self, words: Mapping[str, str]) -> dict[str, Any]:
        return self._parameters.parse(words)

    @cached_property
    def _parameters(self) -> Parameters:
        model = self._registry.config_model(self._name)
        return Parameters(self._name, TypeAdapter(model), tuple(model.model_fields))
