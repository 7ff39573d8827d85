"""What is told of runs that real workers made."""

from support.runs import Bench

from datamcp.pipelines.definition import PipelineDefinition
from datamcp.pipelines.export import RunExport
from datamcp.pipelines.page.page import run_page
from datamcp.pipelines.status import RunState


def test_a_run_is_exported_whole(bench: Bench) -> None:
    """Its steps, its edges and the revision that it ran with; as JSON it comes back the same."""
    definition = PipelineDefinition.model_validate(
        {
            "pipeline_id": "exported",
            "tasks": [
                {"task_id": "a", "processor": "probe.work"},
                {"task_id": "b", "processor": "probe.work", "configuration": {"fail": True}},
                {"task_id": "z", "processor": "probe.gather", "input_sources": ["a"]},
            ],
            "dependencies": {"b": ["a"], "z": ["b"]},
        }
    )
    run_id = bench.run(definition)
    export = bench.runtime.exporter.export(run_id, has_logs=True)
    assert export.status == bench.runtime.pipelines.sync.monitor_execution(run_id)
    assert export.status.state is RunState.FAILED
    assert (export.pipeline.revision, export.pipeline.definition) == (1, definition)
    assert {(edge.from_, edge.to, edge.data) for edge in export.edges} == {
        ("a", "b", False),
        ("a", "z", True),
        ("b", "z", False),
    }
    assert RunExport.model_validate_json(export.model_dump_json()) == export
    page = run_page(export)
    assert "told to fail" in page
    assert "upstream failed" in page
