"""Where a unit of a plan leaves as a Celery canvas."""

from collections.abc import Sequence

from celery import Celery, Signature

from datamcp.pipelines.canvas import to_canvas
from datamcp.pipelines.compiled import RunInfo
from datamcp.pipelines.plan import Unit
from datamcp.tasks.attempt import unawaited
from datamcp.tasks.ledger import Hint
from datamcp.tasks.ports import Publisher, TaskTypes
from datamcp.tasks.publish import HINT, broker_errors, transport_of
from datamcp.tasks.queues import DEFAULT, broker_priority
from datamcp.tasks.watch import contents
from datamcp.types import step_task_id


class StepSender:
    """Sends the messages of steps: whole canvases, and single hints."""

    def __init__(
        self, app: Celery, *, types: TaskTypes, publisher: Publisher, default_timeout: float
    ) -> None:
        """Take the app; `default_timeout` (s) is for steps that say nothing of their own."""
        self._app = app
        self._types = types
        self._publisher = publisher
        self._default_timeout = default_timeout

    def timeout_of(self, run: RunInfo, step_id: str) -> float:
        """Return the seconds that an attempt at a step may take."""
        step = run.compiled.steps[step_id]
        of_type = self._types.resolve(step.processor).timeout
        return step.timeout or of_type or self._default_timeout

    def send_unit(self, run: RunInfo, unit: Unit) -> None:
        """Send a unit as one canvas; raises BackendUnavailable if the broker does not take it."""
        canvas = to_canvas(unit.tree, lambda step_id: self._signature(run, step_id))
        token = unawaited.set(True)
        try:
            with broker_errors(self._app):
                canvas.apply_async()
        finally:
            unawaited.reset(token)

    def send_hints(self, hints: Sequence[Hint]) -> None:
        """Send single messages; raises BackendUnavailable if the broker does not take them."""
        self._publisher.publish(hints)

    def _signature(self, run: RunInfo, step_id: str) -> Signature:
        step = run.compiled.steps[step_id]
        return self._app.signature(
            step.processor,
            immutable=True,
            task_id=step_task_id(run.run_id, step_id),
            queue=self._types.resolve(step.processor).queue,
            priority=broker_priority(DEFAULT, transport_of(self._app)),
            headers={HINT: 1},
            root_id=run.run_id,
            ignore_result=True,
            argsrepr="",
            kwargsrepr=contents(step_id, run.run_id),
        )
