"""Our side: runs of pipelines with the full ledger, and the same with a gate before each step."""

from collections.abc import Sequence
from hashlib import sha256

from benchmarks.datamcp_stack import Datamcp, DatamcpHost
from benchmarks.pipelines.shapes import Shape
from benchmarks.pipelines.side import Launch
from benchmarks.rival import PATIENCE
from benchmarks.tally import WrongResultError
from datamcp.pipelines.definition import ParameterDefinition, PipelineDefinition, TaskDefinition
from datamcp.pipelines.status import RunState

ROOM = {"pipelines.max_concurrent_pipelines": "100"}
"""What is chosen beside the defaults: so many runs may be under way."""


class Pipelines(Datamcp):
    """A pipeline of one capability."""

    when: str | None = None

    def launches(self, shape: Shape, count: int) -> Sequence[Launch]:
        """Register the pipeline; each run is told its number as a parameter."""
        definition = definition_of(shape, self.host.step, self.when)
        self.runtime.pipelines.sync.register_pipeline(definition)
        return [self._launch(definition.pipeline_id, shape, run) for run in range(count)]

    def _launch(self, pipeline_id: str, shape: Shape, run: int) -> Launch:
        pipelines = self.runtime.pipelines.sync

        def start() -> str:
            return pipelines.trigger_pipeline(pipeline_id, {"run": run})

        def finish(run_id: str) -> None:
            status = pipelines.wait(run_id, PATIENCE)
            outputs = [step.output for step in status.tasks.values()]
            if status.state is not RunState.SUCCEEDED or outputs != list(range(len(shape))):
                raise WrongResultError(f"{self.name}: run {run_id} is {status.state}")

        return Launch(start, finish)


class GatedPipelines(Pipelines):
    """The same where somebody decides about each step."""

    scenarios = frozenset({"chain", "fan-out"})
    when = "true"

    def __init__(self, host: DatamcpHost) -> None:
        """Take the worker, which it shares; connects."""
        super().__init__(host)
        self.name = f"{self.name}, gated"


def definition_of(shape: Shape, processor: str, when: str | None = None) -> PipelineDefinition:
    """Return a shape as a pipeline of one processor, each step with the same condition, if any."""
    told = (tuple(map(tuple, shape.upstreams)), tuple(shape.seconds), when)
    return PipelineDefinition(
        pipeline_id=f"shape-{sha256(repr(told).encode()).hexdigest()[:12]}",
        parameters={"run": ParameterDefinition(type="integer", default=0)},
        tasks=tuple(
            TaskDefinition(
                task_id=f"s{number}",
                processor=processor,
                configuration={
                    "number": number,
                    "run": "${parameters.run}",
                    "seconds": shape.seconds_of(number),
                },
                when=when,
            )
            for number in range(len(shape))
        ),
        dependencies={
            f"s{number}": tuple(f"s{up}" for up in ups)
            for number, ups in enumerate(shape.upstreams)
            if ups
        },
    )
