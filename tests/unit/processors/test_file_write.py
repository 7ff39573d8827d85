import gzip
import json
from pathlib import Path

import pytest
from support.steps import StepRunner, read_parquet, table

from datamcp.errors import ProcessingError
from datamcp.processors.processor import ProcessingResult


@pytest.fixture
def written(runner: StepRunner) -> StepRunner:
    """Return a runner with the output of the step `rows`."""
    sql = "select * from (values (1, 'a, b'), (2, null)) t(n, s)"
    output = table(runner.folder / "rows.parquet", sql)
    runner.results["rows"] = ProcessingResult(output=output)
    return runner


def test_relative_path_is_inside_the_run(written: StepRunner) -> None:
    """A relative path goes to the run's artifacts; the output says where."""
    result = written.run("save", "file.write", ("rows",), path="out/rows.parquet")
    path = Path(result.output.path or "")
    assert path.is_relative_to(written.store.run_folder("run"))
    assert path.name == "rows.parquet"
    assert read_parquet(path) == [{"n": 1, "s": "a, b"}, {"n": 2, "s": None}]
    assert (result.records_in, result.records_out) == (2, 2)
    assert result.output.records_out == 2
    assert result.output.bytes_out == result.bytes_out == path.stat().st_size


def test_absolute_path_is_inside_a_root(written: StepRunner) -> None:
    """An absolute path is written where a root allows it; an older file is replaced."""
    target = written.folder / "new" / "rows.csv"
    for _ in range(2):
        result = written.run("save", "file.write", ("rows",), path=str(target))
        assert result.output.path == str(target)
        assert target.read_text() == 'n,s\n1,"a, b"\n2,\n'
    assert [file.name for file in target.parent.iterdir()] == ["rows.csv"]


def test_formats(written: StepRunner) -> None:
    """CSV and JSON lines, also in gzip; the ending tells, or `format`."""
    lines = [{"n": 1, "s": "a, b"}, {"n": 2, "s": None}]
    for path, given in (("a.jsonl", None), ("b.ndjson.gz", None), ("c", "jsonl")):
        result = written.run("save", "file.write", ("rows",), path=path, format=given)
        content = Path(result.output.path or "").read_bytes()
        text = gzip.decompress(content) if path.endswith(".gz") else content
        assert [json.loads(line) for line in text.splitlines()] == lines
    result = written.run("save", "file.write", ("rows",), path="d.csv.gz")
    assert gzip.decompress(Path(result.output.path or "").read_bytes()).startswith(b"n,s\n1,")


def test_what_was_written_can_be_read(written: StepRunner) -> None:
    """A file that was written is read back by `file.read`."""
    for ending in ("csv", "csv.gz", "jsonl", "parquet"):
        path = str(written.folder / f"rows.{ending}")
        written.run("save", "file.write", ("rows",), path=path)
        written.run("back", "file.read", path=path, types={"n": "integer"})
        assert written.rows("back") == [{"n": 1, "s": "a, b"}, {"n": 2, "s": None}]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/etc/rows.csv", r"outside of storage\.allowed_roots"),
        ("s3://bucket/rows.csv", r"outside of storage\.allowed_roots"),
        ("../rows.csv", "cannot be part of an artifact's path"),
        ("rows", "format of 'rows' cannot be told"),
    ],
)
def test_places_that_are_refused(written: StepRunner, path: str, reason: str) -> None:
    """A file is written inside the run or a root, or not at all."""
    with pytest.raises(ProcessingError, match=reason):
        written.run("save", "file.write", ("rows",), path=path)


def test_exactly_one_input(written: StepRunner) -> None:
    """None or two inputs are refused by name."""
    written.results["more"] = written.results["rows"]
    with pytest.raises(ProcessingError, match="exactly one input, got none"):
        written.run("save", "file.write", path="a.csv")
    with pytest.raises(ProcessingError, match="exactly one input, got rows, more"):
        written.run("save", "file.write", ("rows", "more"), path="a.csv")


def test_input_that_is_no_table(written: StepRunner) -> None:
    """A damaged input leaves the older file as it was."""
    target = written.folder / "rows.csv"
    target.write_text("old")
    (written.folder / "rows.parquet").write_bytes(b"PAR1 damaged")
    with pytest.raises(ProcessingError, match="parquet"):
        written.run("save", "file.write", ("rows",), path=str(target))
    assert target.read_text() == "old"
