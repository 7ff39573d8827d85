"""What the parts of a page of a run all need to know of it, worked out once. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from datamcp.pipelines.export import RunExport
from datamcp.pipelines.instances import instances_of, with_instances
from datamcp.pipelines.page.marks import WORST_FIRST
from datamcp.pipelines.page.text import seconds_between
from datamcp.pipelines.status import StepStatus

MOST_LISTED = 1_500  # rows of the table


@dataclass(frozen=True)
class Facts:
    """A run to draw."""

    export: RunExport

    @cached_property
    def now(self) -> datetime:
        """When the run was looked at."""
        return self.export.exported_at

    @property
    def steps(self) -> Mapping[str, StepStatus]:
        """Every step, in the order of the definition; see `order`."""
        return self.export.status.tasks

    @cached_property
    def processors(self) -> Mapping[str, str]:
        """What does the work of each step of the definition."""
        return {step.task_id: step.processor for step in self.export.pipeline.definition.tasks}

    @cached_property
    def instances(self) -> Mapping[str, Sequence[str]]:
        """The instances of each mapped step."""
        return instances_of(self.steps)

    @cached_property
    def parents(self) -> Mapping[str, str]:
        """The mapped step of each instance."""
        return {one: parent for parent, those in self.instances.items() for one in those}

    @cached_property
    def order(self) -> Sequence[str]:
        """Every step, the instances of a mapped one below it."""
        return [
            shown
            for step_id in self.steps
            if step_id not in self.parents
            for shown in (step_id, *self.instances.get(step_id, ()))
        ]

    @cached_property
    def listed(self) -> Sequence[str]:
        """The steps that have a row in the table: all, or those that need somebody most."""
        if len(self.order) <= MOST_LISTED:
            return self.order
        need = {state: place for place, state in enumerate(WORST_FIRST)}
        ranked = sorted(self.order, key=lambda step_id: need.get(self.steps[step_id].state, 0))
        wanted = set(ranked[:MOST_LISTED])
        return [step_id for step_id in self.order if step_id in wanted]

    @cached_property
    def anchors(self) -> Mapping[str, str]:
        """Where each step is in the document: its row, or the table. Nothing of its id is there."""
        rows = {step_id: f"step-{number}" for number, step_id in enumerate(self.listed, start=1)}
        return {step_id: rows.get(step_id, "steps") for step_id in self.order}

    @cached_property
    def upstreams(self) -> Mapping[str, Sequence[str]]:
        """What each step waits for, instances and all."""
        above: dict[str, list[str]] = {}
        for edge in self.export.edges:
            above.setdefault(edge.to, []).append(edge.from_)
        return with_instances(above, self.steps)

    @cached_property
    def critical(self) -> Sequence[str]:
        """The steps that made the run as long as it is, the first of them first.

        From the step that ended last, or still runs, back to the one that it really waited for.
        """
        ends = {
            step_id: end
            for step_id, step in self.steps.items()
            if step.started_at is not None and (end := self.end(step)) is not None
        }
        path: list[str] = []
        step_id = max(ends, key=ends.__getitem__, default=None)
        while step_id is not None and step_id not in path:
            path.append(step_id)
            before = [up for up in self.upstreams[step_id] if up in ends]
            step_id = max(before, key=ends.__getitem__, default=None)
        return path[::-1]

    def is_between(self, step_id: str) -> bool:
        """Tell whether a step waits for another attempt: its start is that of an earlier one."""
        step, made = self.steps[step_id], self.export.attempts.get(step_id)
        if not made or step.started_at is None or made[-1].started_at is None:
            return False
        return step.finished_at is None and step.started_at <= made[-1].started_at

    def end(self, step: StepStatus) -> datetime | None:
        """Return when a step ended; now, if it runs."""
        if step.finished_at is not None or step.state != "running":
            return step.finished_at
        return max(self.now, step.started_at) if step.started_at else self.now

    def took(self, step_id: str) -> float | None:
        """Return how long (s) the last attempt of a step took, so far."""
        step = self.steps[step_id]
        return (
            None if self.is_between(step_id) else seconds_between(step.started_at, self.end(step))
        )

    def queued(self, step_id: str) -> datetime | None:
        """Return when the last attempt of a step was queued: not before the one before it ended."""
        step, made = self.steps[step_id], self.export.attempts.get(step_id)
        if made and step.queued_at is not None:
            return max(step.queued_at, made[-1].ended_at)
        return step.queued_at

    def waited(self, step_id: str) -> float | None:
        """Return how long (s) a step stood in its queue before its last attempt, so far."""
        step = self.steps[step_id]
        if step.state == "queued":
            return seconds_between(self.queued(step_id), self.now)
        if self.is_between(step_id):
            return None
        return seconds_between(self.queued(step_id), step.started_at)

    @cached_property
    def begin(self) -> datetime:
        """When the run's story begins: with its start, or when its first step was queued."""
        status = self.export.status
        queued = [step.queued_at for step in self.steps.values() if step.queued_at is not None]
        starts = [step.started_at for step in self.steps.values() if step.started_at is not None]
        tried = [
            at
            for made in self.export.attempts.values()
            for attempt in made
            if (at := attempt.queued_at or attempt.started_at) is not None
        ]
        known = [*queued, *starts, *tried]
        return (
            min(known) if known else status.started_at or status.scheduled_at or status.created_at
        )

    @cached_property
    def last(self) -> datetime:
        """When it ends: with the run, or now."""
        ends = [step.finished_at for step in self.steps.values() if step.finished_at is not None]
        status = self.export.status
        return max([status.finished_at or self.now, self.begin, *ends])
