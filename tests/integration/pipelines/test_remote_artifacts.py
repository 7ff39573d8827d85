"""Steps that hand on files in a store behind a URL: in one process, and between real workers."""

import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from fsspec.registry import _registry
from support import folder_storage
from support.brokers import RedisServer
from support.folder_storage import FolderStorage, away
from support.lab import Laboratory, laboratory
from support.processes import Killer
from support.steps import read_parquet

import datamcp
from datamcp.clock import SystemClock
from datamcp.config.text import child_environment
from datamcp.pipelines.ledger import PipelineLedger
from datamcp.pipelines.lineage import columns_in, lineage_of
from datamcp.pipelines.loader import parse
from datamcp.pipelines.old_runs import OldRuns
from datamcp.testing import FakeClock
from datamcp.types import new_id

STORE = "folder://far/runs"

TABLES = """
pipeline_id: tables
parameters: {k: {type: string, default: a}}
tasks:
  - task_id: numbers
    processor: sql.transform
    cache: {key: "${parameters.k}"}
    configuration: {sql: "select range as n, range::double as price from range(40)"}
  - task_id: good
    processor: data.validate
    input_sources: [numbers]
    configuration: {key: [n]}
  - task_id: save
    processor: file.write
    input_sources: [good]
    configuration: {path: numbers.csv}
  - task_id: again
    processor: file.read
    configuration: {path: "${outputs.save.path}"}
  - task_id: report
    processor: research.report
    input_sources: [good]
    configuration: {title: Numbers, sections: [{heading: All, input: good, limit: 2}]}
  - task_id: documents
    processor: document.extract
    configuration: {path: "${outputs.report.path}"}
  - task_id: shaky
    processor: lab.fail_once
    configuration: {value: "${outputs.again.path}"}
    retry_policy: {max_attempts: 1}
  - task_id: last
    processor: sql.transform
    input_sources: [again]
    configuration: {sql: "select count(*) as rows from again"}
dependencies: {last: [shaky, documents]}
"""


@pytest.fixture
def lab(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Laboratory]:
    """Have a laboratory whose artifacts are behind a URL; no other folder of this machine is allowed."""
    monkeypatch.setenv(folder_storage.ROOT, str(tmp_path))
    monkeypatch.setitem(_registry, "folder", FolderStorage)
    settings = {
        "storage.artifacts_url": STORE,
        "storage.allowed_roots": "[]",
        "agents.research.module": "datamcp.agent_types.research:ResearchAgent",
    }
    with laboratory(tmp_path, sqlite_url, FakeClock(), settings) as found:
        yield found


def scratch(folder: Path) -> list[Path]:
    """Return the files that are on this machine for a while."""
    found = folder.rglob("scratch/*/**/*")
    return [one for one in found if one.is_file()]


def test_a_run_goes_on_in_another_one(lab: Laboratory, tmp_path: Path) -> None:
    """Every step reads what is in the store; what is resumed or reused is taken over from there."""
    run = lab.run(TABLES)
    assert lab.states(run)["shaky"] == "failed"
    resumed = lab.pipelines.resume_pipeline(run)
    lab.drain()
    assert lab.state(resumed) == "succeeded"
    outputs = lab.outputs(resumed)
    assert outputs["save"].startswith(f"{STORE}/{run}/save/")
    assert outputs["shaky"] == outputs["again"]
    assert outputs["last"].startswith(f"{STORE}/{resumed}/last/")
    assert read_parquet(tmp_path / outputs["last"].removeprefix("folder://")) == [{"rows": 40}]
    other = lab.run(TABLES)
    assert lab.step(other, "numbers").adopted_from == lab.step(run, "numbers").task_id
    assert lab.state(other) == "succeeded"
    assert scratch(tmp_path) == []


def test_lineage_knows_columns(lab: Laboratory) -> None:
    """Of the tables in the store: where, how much, and which columns."""
    run = lab.run(TABLES)
    definition = lab.pipelines.definition_of(run)
    artifacts = lab.runtime.artifacts
    found = {
        one.step_id: one
        for one in lineage_of(lab.status(run), definition, lambda path: columns_in(artifacts, path))
    }
    assert found["good"].columns == {"n": "BIGINT", "price": "DOUBLE"}
    assert (found["good"].records, found["good"].read_from) == (40, ("numbers",))
    assert found["save"].columns is None
    assert found["save"].path.startswith(STORE)


def test_a_store_that_is_away_is_tried_again(
    lab: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step is retried as for any outage, and succeeds when the store is back."""
    text = TABLES.replace("    cache:", "    retry_policy: {max_attempts: 2, delay: 5}\n    cache:")
    with monkeypatch.context() as patch:
        patch.setattr(FolderStorage, "fault", staticmethod(away))
        run = lab.run(text)
        step = lab.step(run, "numbers")
        assert (step.state, step.error_code) == ("retrying", "backend_unavailable")
    lab.drain(10)
    assert lab.step(run, "numbers").state == "succeeded"


def test_files_go_with_their_run(lab: Laboratory, tmp_path: Path) -> None:
    """Those of runs that are not kept any more, and nobody else's."""
    run = lab.run(TABLES)
    lost = new_id(SystemClock().now())
    for owner in (lost, "tasks"):
        with lab.runtime.artifacts.workspace(owner, "step", 1).publish("a") as part:
            part.touch()
    told: list[str] = []
    later = FakeClock(SystemClock().now())
    later.advance(seconds=2 * 86400)
    old = OldRuns(
        PipelineLedger(lab.runtime.database),
        lab.runtime.artifacts,
        1e9,
        later,
        leave_files_to=lambda: told.append("cleaner"),
    )
    old.prune(10)
    assert told == ["cleaner"]
    assert (tmp_path / "far" / "runs" / lost).exists()
    old.clean()
    assert sorted(one.name for one in (tmp_path / "far" / "runs").iterdir()) == sorted(
        [run, "tasks"]
    )


SHARED = """
pipeline_id: shared
tasks:
  - {task_id: numbers, processor: sql.transform, configuration: {sql: "select range as n from range(1000)"}}
  - task_id: report
    processor: research.report
    input_sources: [numbers]
    configuration: {title: Numbers, sections: [{heading: All, input: numbers, limit: 3}]}
  - task_id: sum
    processor: sql.transform
    input_sources: [numbers]
    configuration: {sql: "select sum(n) as total from numbers"}
dependencies: {sum: [report]}
"""


def test_workers_without_a_common_folder(
    redis_server: RedisServer, tmp_path: Path, sqlite_url: str
) -> None:
    """Two pools, each with a state folder of its own, hand a table to each other by the store."""
    folder_storage.install(tmp_path)
    prefix = f"test-{uuid4().hex}:"
    settings = {
        "broker.url": redis_server.broker_url,
        "broker.key_prefix": prefix,
        "storage.database_url": sqlite_url,
        "storage.artifacts_url": STORE,
        "storage.allowed_roots": "[]",
        "system.state_dir": str(tmp_path / "state"),
    }
    with Killer() as supervisor, datamcp.connect(overrides=settings) as runtime:
        for pool in ("pipelines", "research"):
            own = {**settings, "system.state_dir": str(tmp_path / pool)}
            supervisor.start(
                pool,
                [sys.executable, "-m", "datamcp", "worker", pool, "--concurrency", "2"],
                log_path=tmp_path / f"{pool}.log",
                env={**child_environment(own), folder_storage.ROOT: str(tmp_path)},
                cwd=tmp_path,
            )
        pipelines = runtime.pipelines.sync
        pipelines.register_pipeline(parse(SHARED))
        status = pipelines.wait(pipelines.trigger_pipeline("shared"), timeout=90)
    assert status.state == "succeeded", {n: s.error_message for n, s in status.tasks.items()}
    total, report = (
        tmp_path / str(status.tasks[step].output).removeprefix("folder://")
        for step in ("sum", "report")
    )
    assert read_parquet(total) == [{"total": 499500}]
    assert "1,000" in report.read_text()
    assert scratch(tmp_path) == []
    redis_server.remove_keys(prefix)
