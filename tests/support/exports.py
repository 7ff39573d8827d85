"""Exports of runs that nobody ran: of any graph, in any state, with times that fit."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from datamcp.pipelines.definition import PipelineDefinition, TaskDefinition
from datamcp.pipelines.export import RunExport, StepAttempt, edges_of
from datamcp.pipelines.graph import Graph
from datamcp.pipelines.status import Pipeline, PipelineStatus, RunState, StepStatus
from datamcp.tasks.states import FINAL, State
from datamcp.tasks.task import TaskLogLine

BEGIN = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
RUN = "01987e6a-1111-7222-8333-444455556666"

Edges = Mapping[str, Iterable[str]]


def definition_of(edges: Edges, pipeline_id: str = "flights", **fields: Any) -> PipelineDefinition:
    """Return a pipeline of these steps; every third edge carries no data."""
    data: dict[str, list[str]] = {step: [] for step in edges}
    order: dict[str, list[str]] = {step: [] for step in edges}
    for number, (step, up) in enumerate((step, up) for step, ups in edges.items() for up in ups):
        (order if number % 3 == 2 else data)[step].append(up)
    tasks = tuple(
        TaskDefinition(task_id=step, processor="sql.transform", input_sources=tuple(data[step]))
        for step in edges
    )
    waits = {step: tuple(ups) for step, ups in order.items() if ups}
    return PipelineDefinition(pipeline_id=pipeline_id, tasks=tasks, dependencies=waits, **fields)


def step(state: State = State.SUCCEEDED, **fields: Any) -> StepStatus:
    """Return a step that ran for a second, or never if its state says so."""
    ran = state in {State.SUCCEEDED, State.FAILED, State.TIMED_OUT, State.RUNNING}
    times: dict[str, Any] = {}
    if ran:
        times = {"queued_at": BEGIN, "started_at": BEGIN, "attempt": 1, "agent_id": "work@host"}
    if state in FINAL:
        times["finished_at"] = BEGIN + timedelta(seconds=1)
    return StepStatus(
        **{"task_id": "t", "state": state, "attempt": 0, "max_attempts": 1, **times, **fields}
    )


def export_of(
    edges: Edges,
    steps: Mapping[str, StepStatus] | None = None,
    *,
    state: RunState = RunState.SUCCEEDED,
    attempts: Mapping[str, tuple[StepAttempt, ...]] | None = None,
    logs: Mapping[str, tuple[TaskLogLine, ...]] | None = None,
    seconds: float = 10,
    **fields: Any,
) -> RunExport:
    """Return a run of this graph; steps that are not given succeeded."""
    definition = definition_of(edges)
    known = {name: step() for name in edges} if steps is None else dict(steps)
    ended = sum(one.state in FINAL for one in known.values())
    is_final = state in {RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED}
    status = PipelineStatus(
        **{
            "run_id": RUN,
            "pipeline_id": "flights",
            "version": "1",
            "state": state,
            "progress": ended / len(known),
            "triggered_by": "cli",
            "parameters": {},
            "created_at": BEGIN,
            "started_at": BEGIN,
            "finished_at": BEGIN + timedelta(seconds=seconds) if is_final else None,
            "tasks": known,
            **fields,
        }
    )
    return RunExport(
        datamcp_version="0.1.0",
        exported_at=BEGIN + timedelta(seconds=seconds),
        pipeline=Pipeline(
            pipeline_id="flights",
            version="1",
            revision=3,
            registered_at=BEGIN,
            definition=definition,
        ),
        status=status,
        edges=edges_of(definition),
        attempts=dict(attempts or {}),
        logs=None if logs is None else dict(logs),
    )


def played(
    edges: Edges,
    seed: int = 0,
    *,
    until: float | None = None,
    failures: Iterable[str] = (),
    mapped: Mapping[str, int] | None = None,
    workers: int = 8,
) -> RunExport:
    """Return a run as chance has it, on so many workers, or how it is after `until` seconds."""
    chance, failing = Random(seed), set(failures)
    graph = Graph.from_edges({name: list(ups) for name, ups in edges.items()})
    free = [0.0] * workers
    ends: dict[str, float] = {}
    lost: set[str] = set()
    found: dict[str, StepStatus] = {}
    tried: dict[str, tuple[StepAttempt, ...]] = {}
    for name in graph.order:
        if any(up in lost or up in failing for up in graph.upstreams[name]):
            lost.add(name)
            ends[name] = max(ends[up] for up in graph.upstreams[name])
            found[name] = _lost(ends[name], until)
            continue
        ready = max((ends[up] for up in graph.upstreams[name]), default=0.0)
        names = [f"{name}[{number}]" for number in range((mapped or {}).get(name, 0))]
        for one in names or [name]:
            begin = max(ready, min(free)) + 0.02
            took = chance.lognormvariate(0.6, 0.9)
            again = chance.random() < 0.12
            if again:
                tried[one] = (_tried(ready, begin, begin + took / 2),)
                begin += took / 2 + 1
            end = begin + took
            free[free.index(min(free))] = end
            ends[one] = end
            is_bad = one in failing or (name in failing and one == names[-1])
            found[one] = _ran(chance, ready, begin, end, until, is_bad=is_bad, again=again)
        if names:
            ends[name] = max(ends[one] for one in names)
            is_bad = name in failing
            whole = _ran(chance, ready, ready, ends[name], until, is_bad=is_bad, again=False)
            found[name] = whole.model_copy(update={"agent_id": None})
    last = max(ends.values()) if until is None else until
    bad = bool(failing)
    state = (
        RunState.RUNNING if until is not None else RunState.FAILED if bad else RunState.SUCCEEDED
    )
    in_order = {name: found[name] for name in [*edges, *(n for n in found if n not in edges)]}
    if until is not None:
        tried = {n: made for n, made in tried.items() if made[0].ended_at <= _at(until)}
    return export_of(
        edges,
        in_order,
        state=state,
        attempts=tried,
        seconds=last,
        **({"error_code": "processing", "error_message": "step x: told to fail"} if bad else {}),
    )


def _at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def _lost(end: float, until: float | None) -> StepStatus:
    if until is not None and end > until:
        return step(State.SCHEDULED)
    return step(State.UPSTREAM_FAILED, finished_at=_at(end), error_message="step x did not succeed")


def _tried(queued: float, begin: float, end: float) -> StepAttempt:
    return StepAttempt(
        attempt=1,
        agent_id="work-4711@host-a",
        queued_at=_at(queued),
        started_at=_at(begin),
        ended_at=_at(end),
        outcome="retried",
        error_code="http_status",
        error_message="GET https://example.org/a answered 503 Service Unavailable",
    )


def _ran(
    chance: Random,
    ready: float,
    begin: float,
    end: float,
    until: float | None,
    *,
    is_bad: bool,
    again: bool,
) -> StepStatus:
    if until is not None and ready > until:
        return step(State.SCHEDULED)
    if until is not None and begin > until:
        return step(State.QUEUED, queued_at=_at(ready))
    fields: dict[str, Any] = {
        "queued_at": _at(ready),
        "started_at": _at(begin),
        "attempt": 2 if again else 1,
        "max_attempts": 3,
        "agent_id": f"work-{chance.randrange(4000, 4004)}@host-{chance.choice('ab')}",
    }
    if until is not None and end > until:
        return step(State.RUNNING, progress=0.4, **fields)
    fields["finished_at"] = _at(end)
    if is_bad:
        message = (
            'Parser Error: syntax error at or near "from"\n\nLINE 3: from flights x\n        ^'
        )
        return step(State.FAILED, error_code="processing", error_message=message, **fields)
    rows = chance.randrange(10, 400_000)
    return step(records_in=rows, records_out=rows, bytes_out=rows * 17, **fields)
