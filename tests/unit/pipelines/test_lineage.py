from datetime import UTC, datetime
from pathlib import Path

import duckdb

from datamcp import PipelineDefinition
from datamcp.pipelines.lineage import columns_in, lineage_of
from datamcp.pipelines.status import PipelineStatus, RunState, StepStatus
from datamcp.storage.artifacts import ArtifactStore
from datamcp.tasks.states import State

AT = datetime(2026, 1, 1, tzinfo=UTC)

DEFINITION = PipelineDefinition.model_validate(
    {
        "pipeline_id": "p",
        "tasks": [
            {"task_id": "read", "processor": "file.read"},
            {"task_id": "late", "processor": "sql.transform", "input_sources": ["read"]},
            {"task_id": "note", "processor": "x.y", "configuration": {"n": "${outputs.late}"}},
        ],
        "dependencies": {"late": ["note"]},
    }
)


def step(**fields: object) -> StepStatus:
    """Return a step that succeeded."""
    usual = {"task_id": "t", "state": State.SUCCEEDED, "attempt": 2, "max_attempts": 3}
    return StepStatus.model_validate({**usual, "agent_id": "w", "finished_at": AT, **fields})


def test_each_file_knows_who_wrote_it_and_from_what() -> None:
    """Data makes lineage, order alone does not; a value is no file."""
    steps = {
        "read": step(output="/a/1.parquet", records_out=3, bytes_out=9),
        "late": step(output="/b/2.parquet", records_out=1, bytes_out=5, adopted_from="before"),
        "note": step(output="said"),
    }
    status = PipelineStatus(
        run_id="r",
        pipeline_id="p",
        version="1",
        state=RunState.SUCCEEDED,
        progress=1,
        triggered_by="test",
        parameters={},
        created_at=AT,
        tasks=steps,
    )
    first, second = lineage_of(status, DEFINITION, lambda path: {"path": path})
    assert (first.step_id, first.task_id, first.attempt, first.read_from) == ("read", "t", 2, ())
    assert (first.records, first.bytes, first.written_at) == (3, 9, AT)
    assert (second.task_id, second.read_from) == ("before", ("read",))
    assert second.columns == {"path": "/b/2.parquet"}


def test_columns_are_those_of_the_file(tmp_path: Path) -> None:
    """Of a Parquet file; of anything else, or what is gone, there are none."""
    table, text, broken = (tmp_path / name for name in ("t.parquet", "t.csv", "b.parquet"))
    duckdb.sql("select 1::integer as n, 'x' as \"a b\"").write_parquet(str(table))
    text.write_text("n\n1\n")
    broken.write_text("n\n1\n")
    store = ArtifactStore(str(tmp_path))
    assert columns_in(store, str(table)) == {"n": "INTEGER", "a b": "VARCHAR"}
    assert columns_in(store, str(text)) is None
    assert columns_in(store, str(broken)) is None
    assert columns_in(store, str(tmp_path / "gone.parquet")) is None
