"""Random pipelines whose steps fail, crash and are killed: each ends as a small model says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING

from chaos.outcome import Answer
from chaos.stage import PROCESSES
from datamcp import PipelineDefinition, TaskDefinition
from datamcp.pipelines.definition import TriggerRule
from datamcp.pipelines.status import PipelineStatus
from datamcp.tasks.retry import RetryPolicy

if TYPE_CHECKING:
    from chaos.scenarios import Hall

_PAUSES = (0.5, 4.0)  # seconds between two kills
_END = 600.0  # seconds that all runs have
_AT_ONCE = 8  # runs that are started together
_MOST = 14  # steps of a graph
_DOES = ("deed", "deed", "deed", "deed", "fail", "crash")
_EARLY = {"one_success", "one_failed"}
_RULES: Sequence[TriggerRule] = (
    *("all_success", "all_success", "all_success"),
    *("all_done", "one_success", "one_failed", "none_failed"),
)
_BAD = {"failed", "upstream_failed"}


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a random graph: what it waits for, when it starts, and what it does."""

    ups: tuple[str, ...]
    rule: TriggerRule
    does: str
    forgives: bool
    condition: bool | None

    @property
    def ends(self) -> str:
        """How it ends if it starts."""
        return "succeeded" if self.does == "deed" else "failed"


Graph = Mapping[str, Step]


def dags(hall: "Hall", answer: Answer) -> None:
    """Run random graphs while workers and beats are killed; compare each step with the model."""
    rng = Random(hall.scale.seed)
    graphs = {f"dag-{number}": _graph(rng) for number in range(hall.scale.dags)}
    pipelines = hall.runtime.pipelines.sync
    for name, graph in graphs.items():
        pipelines.register_pipeline(_definition(name, graph))
    runs: dict[str, str] = {}
    kills, began, waiting, next_kill = 0, monotonic(), [*graphs], 0.0
    open_runs: set[str] = set()
    while (waiting or open_runs) and monotonic() < began + _END:
        while waiting and len(open_runs) < _AT_ONCE:
            name = waiting.pop()
            runs[name] = pipelines.trigger_pipeline(name)
            open_runs.add(runs[name])
        hall.crew.mend()
        if monotonic() >= next_kill:
            kills += _kill(hall, rng)
            next_kill = monotonic() + rng.uniform(*_PAUSES)
        open_runs = {one for one in open_runs if not pipelines.monitor_execution(one).is_final}
        Event().wait(0.1)
    took = monotonic() - began
    deeds = hall.traces.deeds()
    found = {name: pipelines.monitor_execution(run_id) for name, run_id in runs.items()}
    wrong = [name for name, graph in graphs.items() if not _is_right(found[name], graph)]
    doubled = sum(count > 1 for count in deeds.values())
    answer.figures |= {
        "graphs": len(graphs),
        "steps": sum(len(graph) for graph in graphs.values()),
        "kills": kills,
        "executions": sum(hall.traces.runs().values()),
        "seconds": round(took, 1),
    }
    answer.expect("open runs", len(open_runs), 0)
    answer.expect("graphs that went otherwise", wrong, [])
    answer.expect("deeds done twice", doubled, 0)
    answer.expect("deeds undone", _undone(found, graphs, deeds), 0)
    answer.expect("steps before their upstreams", _too_early(found, graphs), [])


def _graph(rng: Random) -> Graph:
    count = rng.randint(2, _MOST)
    density = rng.choice((0.15, 0.3, 0.5))
    return {
        f"s{place}": Step(
            ups=tuple(f"s{up}" for up in range(place) if rng.random() < density),
            rule=rng.choice(_RULES),
            does=rng.choice(_DOES),
            forgives=rng.random() < 0.25,
            condition=rng.choice((None, None, None, True, False)),
        )
        for place in range(count)
    }


def _definition(name: str, graph: Graph) -> PipelineDefinition:
    steps = tuple(
        TaskDefinition(
            task_id=step_id,
            processor=f"{PROCESSES}.{step.does}",
            trigger_rule=step.rule,
            when=None if step.condition is None else str(step.condition).lower(),
            retry_policy=RetryPolicy(max_attempts=1, continue_on_error=step.forgives),
            timeout=30,
        )
        for step_id, step in graph.items()
    )
    edges = {step_id: step.ups for step_id, step in graph.items() if step.ups}
    return PipelineDefinition(pipeline_id=name, tasks=steps, dependencies=edges)


def outcome(graph: Graph) -> tuple[dict[str, str], str]:
    """Return how each step has to end, and the run; upstreams stand first in a graph."""
    ends: dict[str, str] = {}
    for step_id, step in graph.items():
        seen = [
            "succeeded" if ends[up] == "failed" and graph[up].forgives else ends[up]
            for up in step.ups
        ]
        ends[step_id] = _end(step, seen)
    failed = any(end == "failed" and not graph[step_id].forgives for step_id, end in ends.items())
    return ends, "failed" if failed else "succeeded"


def _end(step: Step, seen: Sequence[str]) -> str:
    is_bad, is_good = not _BAD.isdisjoint(seen), "succeeded" in seen
    starts = {
        "all_success": not is_bad and "skipped" not in seen,
        "all_done": True,
        "one_success": is_good or not seen,
        "one_failed": is_bad,
        "none_failed": not is_bad,
    }[step.rule]
    if not starts:
        return "upstream_failed" if is_bad and step.rule != "one_failed" else "skipped"
    return "skipped" if step.condition is False else step.ends


def _kill(hall: "Hall", rng: Random) -> int:
    """Kill one of the workers and beats that live; return how many that were."""
    living = [*hall.crew.living(), *hall.crew.living(beats=True)]
    if not living:
        return 0
    hall.crew.kill(rng.choice(living))
    return 1


def _is_right(status: PipelineStatus, graph: Graph) -> bool:
    ends, run = outcome(graph)
    return {name: str(one.state) for name, one in status.tasks.items()} == ends and (
        str(status.state) == run
    )


def _undone(
    found: Mapping[str, PipelineStatus],
    graphs: Mapping[str, Graph],
    deeds: Mapping[str, int],
) -> int:
    """Count steps that succeeded without their effect, or had one without that."""
    return sum(
        (str(one.state) == "succeeded") != (deeds.get(one.task_id, 0) == 1)
        for name, graph in graphs.items()
        for step_id, one in found[name].tasks.items()
        if graph[step_id].does == "deed"
    )


def _too_early(found: Mapping[str, PipelineStatus], graphs: Mapping[str, Graph]) -> list[str]:
    """Return steps that began before something ended that they wait for; early rules may."""
    return [
        f"{name} {step_id}"
        for name, graph in graphs.items()
        for step_id, step in graph.items()
        if step.rule not in _EARLY and (began := found[name].tasks[step_id].started_at) is not None
        for up in step.ups
        if (ended := found[name].tasks[up].finished_at) is None or ended > began
    ]
