"""An agent that notes what it runs, and a runtime whose workers have it."""

import json
from dataclasses import dataclass
from pathlib import Path

from datamcp.bootstrap.runtime import Runtime
from datamcp.pipelines.definition import PipelineDefinition

PROBE = '''
import json
import os
import time
from pathlib import Path

from datamcp import BaseAgent, capability
from datamcp.errors import ProcessingError

NOTES = Path(os.environ["PROBE_NOTES"])


class Probe(BaseAgent):
    """Notes what it runs."""

    agent_type = "probe"

    @capability
    def work(self, seconds: float = 0, fail: bool = False, echo: object = None) -> object:
        """Note the start and the end of a step in one line."""
        started = time.monotonic()
        time.sleep(seconds)
        step = {"run": self.context.run_id, "step": self.context.step_id}
        line = json.dumps({**step, "started": started, "ended": time.monotonic()}) + "\\n"
        with NOTES.open("a") as notes:
            notes.write(line)
        if fail:
            raise ProcessingError("told to fail")
        return echo if echo is not None else self.context.step_id

    @capability
    def gather(self, inputs: dict[str, dict[str, object]]) -> dict[str, object]:
        """Return the values of all inputs."""
        return {name: output["value"] for name, output in inputs.items()}
'''


@dataclass(frozen=True)
class Bench:
    """A runtime, and the notes of the steps that its workers ran."""

    runtime: Runtime
    notes: Path

    def executions(self, run_id: str) -> list[dict[str, float | str]]:
        """Return the executions of a run, in order of their ends."""
        lines = self.notes.read_text().splitlines() if self.notes.exists() else []
        found = [json.loads(line) for line in lines]
        return [note for note in found if note["run"] == run_id]

    def run(self, definition: PipelineDefinition, **parameters: object) -> str:
        """Register and run a pipeline to its end, and return the run's id."""
        pipelines = self.runtime.pipelines.sync
        pipelines.register_pipeline(definition)
        run_id = pipelines.trigger_pipeline(definition.pipeline_id, parameters)
        pipelines.wait(run_id, timeout=60)
        return run_id
