"""Call one capability by itself: no ledger, no queue, and yet as in a worker.

Its parameters are checked, it has a context, and what it returns must have a JSON form.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from datamcp.agents.agent import BaseAgent, capabilities_of
from datamcp.agents.capability import CapabilityMethod
from datamcp.clock import Clock, SystemClock
from datamcp.errors import AgentError, UnknownTaskTypeError
from datamcp.naming import did_you_mean
from datamcp.storage.artifacts import Workspace
from datamcp.storage.roots import AllowedRoots
from datamcp.tasks import context as contexts
from datamcp.tasks.ask import Ask
from datamcp.tasks.context import TaskContext
from datamcp.tasks.loop import settle_awaitable
from datamcp.tasks.parameters import Parameters
from datamcp.tasks.task import Task
from datamcp.testing.beside import beside_loop, closing_loop


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What a capability finds when it is called.

    `calls` are the answers to what it calls, by task type: a value, or a function of the parameters.

    With `cancelled_after=2` its second heartbeat learns that it was cancelled, and every later
    one; with 0 it is from the start. `timeout` (s) sets the deadline; nobody enforces it. In
    `folder` is its workspace, and files that its parameters name may be there.
    """

    task_id: str = "test"
    attempt: int = 1
    idempotency_key: str | None = None
    timeout: float | None = None
    cancelled_after: int | None = None
    folder: Path | None = None
    agent_id: str = "inline@test"
    run_id: str | None = None
    step_id: str | None = None
    last_details: Mapping[str, Any] = field(default_factory=dict)
    calls: Mapping[str, Any] = field(default_factory=dict)
    clock: Clock = field(default_factory=SystemClock)


@dataclass(slots=True)
class CapabilityRun:
    """What a capability did.

    `value` is what it returned, and `data` what callers see of that: JSON values. `progress` is
    what its heartbeats reported, in order; None for one that reported none. `details` are those
    that they noted. `calls` is what it called: each task type, and the parameters.
    """

    value: Any = None
    data: Any = None
    progress: list[float | None] = field(default_factory=list)
    details: list[dict[str, Any]] = field(default_factory=list)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


def run_capability(
    agent: type[BaseAgent] | BaseAgent,
    capability: str,
    situation: Situation | None = None,
    /,
    **parameters: Any,
) -> CapabilityRun:
    """Call a capability of a class, or of an instance that was prepared: `run_capability(Bench, "add", a=1)`.

    Raises whatever the capability raises, and what it returns of `datamcp.Retry` and its like;
    UnknownTaskTypeError if there is none of this name,
    InvalidParametersError if it does not take these parameters, and pydantic's
    PydanticSerializationError if what it returns has no JSON form.
    """
    instance = agent() if isinstance(agent, type) else agent
    given = situation or Situation()
    method = _method(type(instance), capability)
    name = f"{type(instance).agent_type}.{method.name}"
    checked = Parameters.of(name, method.function)
    text = checked.dump(parameters)
    run = CapabilityRun()
    context = _context(
        given, run, Task(task_id=given.task_id, task_type=name, parameters=json.loads(text))
    )
    instance.agent_id = given.agent_id

    def call() -> Any:
        token = contexts.current.set(context)
        try:
            return settle_awaitable(method.function(instance, **checked.load(text)))
        finally:
            contexts.current.reset(token)

    run.value = beside_loop(partial(closing_loop, call))
    if isinstance(run.value, Ask):
        raise run.value
    run.data = json.loads(to_json(run.value, inf_nan_mode="constants"))
    return run


def _method(agent_class: type[BaseAgent], name: str) -> CapabilityMethod:
    agent_type = agent_class.agent_type
    found: Mapping[str, CapabilityMethod] = capabilities_of(agent_class, agent_type)
    wanted = f"{agent_type}.{name}"
    if wanted not in found:
        near = did_you_mean(wanted, found).removeprefix("; ")
        raise UnknownTaskTypeError(wanted, near or f"there are {', '.join(found) or 'none'}")
    return found[wanted]


def _context(situation: Situation, run: CapabilityRun, task: Task) -> TaskContext:
    deadline = None
    if situation.timeout is not None:
        deadline = situation.clock.now() + timedelta(seconds=situation.timeout)

    def beat(progress: float | None, details: str | None) -> bool:
        run.progress.append(progress)
        if details is not None:
            run.details.append(json.loads(details))
        after = situation.cancelled_after
        return after is not None and len(run.progress) >= after

    def called(task_type: str, parameters: Mapping[str, Any]) -> Any:
        run.calls.append((task_type, dict(parameters)))
        return _answer(situation, task_type, parameters)

    async def acalled(task_type: str, parameters: Mapping[str, Any]) -> Any:
        return called(task_type, parameters)

    log = logging.getLogger(f"datamcp.task.{task.task_type}")
    return TaskContext(
        task_id=situation.task_id,
        idempotency_key=situation.idempotency_key or situation.task_id,
        attempt=situation.attempt,
        deadline=deadline,
        agent_id=situation.agent_id,
        logger=logging.LoggerAdapter(log, {"task_id": situation.task_id}),
        run_id=situation.run_id,
        step_id=situation.step_id,
        last_details=situation.last_details,
        _task=lambda: task,
        _workspace=lambda: Workspace(_folder(situation)),
        _beat=beat,
        _find=lambda path: _roots(situation).find(path),
        _cancelled=situation.cancelled_after == 0,
        _call=called,
        _acall=acalled,
    )


def _answer(situation: Situation, task_type: str, parameters: Mapping[str, Any]) -> Any:
    """Return what a call is answered with: JSON values, as of a real one."""
    if task_type not in situation.calls:
        raise AgentError(
            f"{task_type} was called; say what it returns: Situation(calls={{{task_type!r}: ...}})"
        )
    answer = situation.calls[task_type]
    value = answer(**parameters) if callable(answer) else answer
    return json.loads(to_json(value, inf_nan_mode="constants"))


def _folder(situation: Situation) -> Path:
    if situation.folder is None:
        raise AgentError("a workspace needs a folder: Situation(folder=tmp_path)")
    return situation.folder


def _roots(situation: Situation) -> AllowedRoots:
    return AllowedRoots([] if situation.folder is None else [situation.folder])
