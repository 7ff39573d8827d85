"""Runs that schedules fire, and the schedules that pipelines declare."""

from collections.abc import Collection, Sequence
from functools import partial

from datamcp.errors import BackendUnavailable, DatamcpError
from datamcp.infra.database import Connection, is_passing
from datamcp.pipelines.definition import PipelineDefinition
from datamcp.pipelines.ledger import PipelineLedger
from datamcp.pipelines.prepare import NewRunWithSteps, Wanted
from datamcp.pipelines.trigger import Trigger
from datamcp.scheduling.schedule import Source, Spec
from datamcp.scheduling.schedules import Declared
from datamcp.scheduling.start import Launch, Launched, reason_of
from datamcp.scheduling.target import RunTarget, filled
from datamcp.tasks.ledger import is_of_run
from datamcp.tasks.settle import Settler
from datamcp.telemetry import Telemetry


class RunStarter:
    """Makes runs for schedules: the backend of `scheduling.start.Starter` for pipelines."""

    def __init__(
        self,
        *,
        trigger: Trigger,
        ledger: PipelineLedger,
        settler: Settler,
        telemetry: Telemetry,
    ) -> None:
        """Take the parts."""
        self._trigger = trigger
        self._ledger = ledger
        self._settler = settler
        self._telemetry = telemetry

    def check(self, target: RunTarget) -> None:
        """Raise what `trigger_pipeline` would raise of these parameters."""
        wanted = Wanted(triggered_by="schedule")
        self._trigger.prepare(target.pipeline_id, target.parameters, wanted)

    def insert(self, connection: Connection, launches: Sequence[Launch]) -> Launched:
        """Insert runs with all their steps; what is there already stays as it is."""
        launched = Launched()
        for launch in launches:
            try:
                prepared = self._prepared(launch)
                with connection.begin_nested():
                    first = self._ledger.start_on(connection, prepared.run, prepared.steps)
            except BackendUnavailable:
                raise
            except DatamcpError as error:
                launched.failures[launch.fired_id] = str(error)
                continue
            except Exception as error:
                if is_passing(error):
                    raise
                launched.failures[launch.fired_id] = reason_of(error)
                continue
            if first is not None:
                launched.new += 1
                launched.sends.append(partial(self._send, launch.fired_id))
        return launched

    def unfinished(self, connection: Connection, ids: Collection[str]) -> set[str]:
        """Return which of these runs have not ended."""
        return self._ledger.unfinished(connection, ids)

    def cancel(self, fired: str) -> None:
        """Cancel a run."""
        if self._ledger.request_cancel(fired):
            self._settler.cancel(is_of_run(fired))

    def _send(self, run_id: str) -> None:
        self._trigger.send(run_id)

    def _prepared(self, launch: Launch) -> NewRunWithSteps:
        target = launch.schedule.target
        if not isinstance(target, RunTarget):
            raise DatamcpError(f"{target.title} is no pipeline")
        return self._trigger.prepare(
            target.pipeline_id,
            filled(target.parameters, launch.fire_at),
            Wanted(
                triggered_by=f"schedule {launch.schedule.title}"[:200],
                scheduled_at=launch.fire_at,
                run_id=launch.fired_id,
            ),
        )


def schedule_name(pipeline_id: str) -> str:
    """Return what the schedule of a pipeline's own is called."""
    return f"pipeline.{pipeline_id}"


def declared_by(definition: PipelineDefinition) -> Declared | None:
    """Return the schedule that a pipeline declares for itself."""
    schedule = definition.schedule
    if schedule is None:
        return None
    return Declared(
        name=schedule_name(definition.pipeline_id),
        source=Source.PIPELINE,
        spec=Spec(schedule=schedule) if isinstance(schedule, str) else schedule,
        target=RunTarget(pipeline_id=definition.pipeline_id),
    )
