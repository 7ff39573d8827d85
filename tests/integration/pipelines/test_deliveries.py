"""Outputs that are delivered to files and databases, as their steps say."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fsspec.registry import _registry
from sqlalchemy import create_engine, text
from support import folder_storage
from support.folder_storage import FolderStorage, away
from support.lab import Laboratory, laboratory

from datamcp.errors import InvalidPipelineError
from datamcp.pipelines.loader import parse
from datamcp.testing import FakeClock

WRITTEN = """
pipeline_id: delivered
parameters: {{month: {{type: string, default: "2013-01"}}}}
tasks:
  - task_id: numbers
    processor: sql.transform
    configuration: {{sql: "select range as n from range(3)"}}
    output_destinations: ["{folder}/out/numbers_${{parameters.month}}.csv", warehouse, folder://far/out/]
    retry_policy: {{max_attempts: 2, delay: 5}}
  - task_id: after
    processor: lab.work
    input_sources: [numbers]
    configuration: {{value: {{rows: "${{outputs.numbers.records_out}}"}}}}
    output_destinations: [folder://far/out/]
"""


@pytest.fixture
def lab(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Laboratory]:
    """Have a laboratory with a database and a storage behind a URL to deliver to."""
    monkeypatch.setenv(folder_storage.ROOT, str(tmp_path))
    monkeypatch.setitem(_registry, "folder", FolderStorage)
    settings = {
        "storage.allowed_roots": f'["{tmp_path}", "folder://far/out"]',
        "integrations.warehouse.type": "sqlite",
        "integrations.warehouse.url": f"sqlite:///{tmp_path}/warehouse.db",
        "integrations.hook.type": "http",
        "integrations.hook.url": "https://example.org/",
    }
    with laboratory(tmp_path, sqlite_url, FakeClock(), settings) as found:
        yield found


def test_everything_is_where_it_was_asked_for(lab: Laboratory, tmp_path: Path) -> None:
    """Files and rows are there; each delivery is a step of the run, with what it wrote."""
    run = lab.run(WRITTEN.format(folder=tmp_path))
    assert lab.state(run) == "succeeded"
    assert (tmp_path / "out" / "numbers_2013-01.csv").read_text() == "n\n0\n1\n2\n"
    assert sorted(one.name for one in (tmp_path / "far" / "out").iterdir()) == [
        "after.json",
        "numbers.parquet",
    ]
    assert '"rows": 3' in (tmp_path / "far" / "out" / "after.json").read_text()
    assert rows(tmp_path) == 3
    assert lab.step(run, "numbers.to1").records_out == 3
    assert lab.outputs(run)["numbers.to3"] == "folder://far/out/numbers.parquet"
    edges = {(one.from_, one.to) for one in lab.runtime.exporter.export(run).edges}
    assert ("numbers", "numbers.to2") in edges


def test_a_delivery_again_is_no_second_one(lab: Laboratory, tmp_path: Path) -> None:
    """Another run puts its output in the place of the last one's."""
    for _ in range(2):
        assert lab.state(lab.run(WRITTEN.format(folder=tmp_path))) == "succeeded"
    assert rows(tmp_path) == 3
    assert lab.pipelines.get_pipeline("delivered").revision == 1


def test_a_delivery_that_fails(
    lab: Laboratory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is retried as its step says, holds nobody up, fails the run, and is resumed alone."""
    with monkeypatch.context() as patch:
        patch.setattr(FolderStorage, "fault", staticmethod(away))
        run = lab.run(WRITTEN.format(folder=tmp_path))
        assert lab.states(run)["numbers.to3"] == "retrying"
        assert lab.states(run)["after"] == "succeeded"
        lab.drain(100)
        lab.drain(100)
        failed = lab.step(run, "numbers.to3")
        assert (failed.state, failed.attempt) == ("failed", 2)
        assert failed.error_code == "backend_unavailable"
        assert lab.state(run) == "failed"
    resumed = lab.pipelines.resume_pipeline(run)
    lab.drain()
    assert lab.state(resumed) == "succeeded"
    assert lab.executions() == {"after": 1}
    assert (tmp_path / "far" / "out" / "numbers.parquet").is_file()


@pytest.mark.parametrize(
    ("destination", "told"),
    [
        ("warehose", "no connection 'warehose' in integrations.*did you mean 'warehouse'"),
        ("hook", "integrations.hook is a server"),
    ],
)
def test_names_are_checked_when_a_pipeline_is_registered(
    lab: Laboratory, tmp_path: Path, destination: str, told: str
) -> None:
    """With the place that names what there is not."""
    definition = parse(WRITTEN.format(folder=tmp_path).replace("warehouse", destination))
    with pytest.raises(InvalidPipelineError, match=told) as caught:
        lab.pipelines.register_pipeline(definition)
    assert [one.path for one in caught.value.problems] == ["tasks[0].output_destinations[1]"]


def rows(folder: Path) -> int:
    """Return how many rows the table has that was delivered."""
    engine = create_engine(f"sqlite:///{folder}/warehouse.db")
    with engine.connect() as connection:
        found: int = connection.execute(text("select count(*) from numbers")).scalar_one()
    engine.dispose()
    return found
