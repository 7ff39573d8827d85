import gzip
import json
from pathlib import Path

import pytest
from support.steps import StepRunner, read_parquet

from datamcp.errors import ProcessingError
from datamcp.processors.processor import Output, ProcessingResult


@pytest.fixture
def runner(tmp_path: Path) -> StepRunner:
    """Have a step that left a table, one a text, and one a value."""
    runner = StepRunner(tmp_path)
    runner.run("table", "sql.transform", sql="select 1 as n, 'x' as t")
    runner.run("saved", "file.write", ("table",), path="notes.csv.gz")
    value: dict[str, object] = {"risk": 0.5, "of": ["ä", None]}
    runner.results["value"] = ProcessingResult(output=Output.model_validate({"value": value}))
    return runner


def test_a_table_gets_the_format_of_the_name(runner: StepRunner, tmp_path: Path) -> None:
    """As `file.write` writes it; rows are counted."""
    (tmp_path / "out").mkdir()
    path = str(tmp_path / "out" / "a.csv")
    result = runner.run("to", "file.deliver", ("table",), path=path)
    assert result.output.path == path
    assert Path(path).read_text() == "n,t\n1,x\n"
    assert result.records_out == 1


def test_a_folder_gets_a_file_named_after_the_step(runner: StepRunner, tmp_path: Path) -> None:
    """With the ending of what was left; the folder is made."""
    folder = tmp_path / "out"
    for step in ("table", "saved", "value"):
        runner.run("to", "file.deliver", (step,), path=f"{folder}/")
    assert read_parquet(folder / "table.parquet") == [{"n": 1, "t": "x"}]
    assert gzip.decompress((folder / "saved.csv.gz").read_bytes()) == b"n,t\n1,x\n"
    assert json.loads((folder / "value.json").read_text()) == {"risk": 0.5, "of": ["ä", None]}
    assert len(list(folder.iterdir())) == 3


@pytest.mark.parametrize(
    ("step", "name", "told"),
    [
        ("saved", "a.parquet", "step 'saved' left a file .csv.gz; let the name end in '.csv.gz'"),
        ("value", "a.csv", "step 'value' left a value; let the name end in '.json'"),
        ("table", "a.doc", "cannot be told from its ending"),
    ],
)
def test_what_does_not_fit(
    runner: StepRunner, tmp_path: Path, step: str, name: str, told: str
) -> None:
    """The step fails, and there is no file."""
    with pytest.raises(ProcessingError, match=told):
        runner.run("to", "file.deliver", (step,), path=str(tmp_path / name))
    assert not (tmp_path / name).exists()


def test_a_file_that_is_gone(runner: StepRunner, tmp_path: Path) -> None:
    """It is named, and what was there stays."""
    there = tmp_path / "a.csv.gz"
    there.write_text("older")
    Path(str(runner.results["saved"].output.path)).unlink()
    with pytest.raises(ProcessingError, match="the file of step 'saved' is gone"):
        runner.run("to", "file.deliver", ("saved",), path=str(there))
    assert there.read_text() == "older"


@pytest.mark.parametrize("path", ["a.csv", "/etc/a.csv", "s3://bucket/a.csv"])
def test_places_that_are_refused(runner: StepRunner, path: str) -> None:
    """What is relative, or outside of the allowed roots."""
    with pytest.raises(ProcessingError, match=r"must be absolute|outside of storage.allowed_roots"):
        runner.run("to", "file.deliver", ("table",), path=path)
