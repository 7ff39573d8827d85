import gzip
from pathlib import Path

import pytest
from support.steps import StepRunner, table

from datamcp.errors import ProcessingError
from datamcp.storage import wildcards


def have(runner: StepRunner, **files: str) -> None:
    """Have files in the folder `in`; `_` stands for a slash, `0` for a dot in their names."""
    for name, content in files.items():
        path = runner.folder / "in" / name.replace("_", "/").replace("0", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def read(runner: StepRunner, path: str, **configuration: object) -> list[dict[str, object]]:
    """Return the rows of all files."""
    runner.run("read", "file.read", path=path, **configuration)
    return runner.rows("read")


def test_files_are_put_one_below_the_other(runner: StepRunner) -> None:
    """Rows come in the order of the files' names, then as in the file; columns go by name."""
    have(runner, b0csv="a,b\n3,x\n4,x\n", a0csv="b,a\nx,1\nx,2\n", c0txt="no")
    found = read(runner, "in/*.csv")
    assert found == [{"b": "x", "a": str(number)} for number in (1, 2, 3, 4)]
    result = runner.results["read"]
    assert (result.records_in, result.records_out, result.output.records_out) == (4, 4, 4)
    assert result.bytes_in == 24
    assert read(runner, str(runner.folder / "in" / "[ab].csv"))[0]["a"] == "1"
    assert read(runner, f"file://{runner.folder}/in/?.csv", types={"a": "integer"})[3]["a"] == 4


def test_many_rows_keep_their_order(runner: StepRunner) -> None:
    """However many rows and files there are, nothing is moved."""
    for number in range(30):
        low, high = number * 5000, (number + 1) * 5000
        query = f"select range as n from range({low}, {high})"  # noqa: S608  numbers
        table(runner.folder / f"{number:02}.parquet", query)
    found = read(runner, "*.parquet")
    assert [row["n"] for row in found] == list(range(150_000))


def test_folders_and_formats(runner: StepRunner) -> None:
    """`**` is any folder; each file's ending tells its format, and a column tells the file."""
    have(
        runner,
        x_a0csv="n\n1\n",
        x_y_b0jsonl='{"n": "2"}\n',
        c0csv="n\n3\n",
        x_0hidden_d0csv="n\n4\n",
    )
    (runner.folder / "in" / "z.csv.gz").write_bytes(gzip.compress(b"n\n5\n"))
    found = read(runner, "in/**/*.*", filename_column="file")
    assert found == [
        {"n": "3", "file": "c.csv"},
        {"n": "1", "file": "x/a.csv"},
        {"n": "2", "file": "x/y/b.jsonl"},
        {"n": "5", "file": "z.csv.gz"},
    ]
    assert read(runner, "in/x/**/b*", filename_column="file") == [{"n": "2", "file": "y/b.jsonl"}]
    assert len(read(runner, "in/**")) == 4
    assert read(runner, "in/x/.h*/*.csv") == [{"n": "4"}]
    assert read(runner, "in/c.csv", filename_column="file") == [{"n": "3", "file": "c.csv"}]


def test_types_that_hold_all(runner: StepRunner) -> None:
    """A column of whole numbers in one file and of fractions in another holds both."""
    have(runner, a0jsonl='{"n": 1}\n', b0jsonl='{"n": 1.5}\n')
    assert read(runner, "in/*") == [{"n": 1.0}, {"n": 1.5}]


def test_other_columns_are_told_or_allowed(runner: StepRunner) -> None:
    """A file with other columns is named; `union: by_name` takes them all."""
    have(runner, a0csv="a,b\n1,2\n", b0csv="a,c\n3,4\n")
    with pytest.raises(ProcessingError, match=r"^b\.csv: its columns are not those of a\.csv: one"):
        read(runner, "in/*.csv")
    found = read(runner, "in/*.csv", union="by_name", types={"c": "integer"})
    assert found == [{"a": "1", "b": "2", "c": None}, {"a": "3", "b": None, "c": 4}]
    with pytest.raises(ProcessingError, match=r"types: no column 'd' in in/\*\.csv"):
        read(runner, "in/*.csv", union="by_name", types={"d": "integer"})


def test_what_is_wrong_is_told_with_the_file(runner: StepRunner) -> None:
    """A broken file is named from the first wildcard on; nothing is left of the others."""
    have(runner, a_x0csv="a\n1\n", b_x0csv="a,b\n1\n")
    with pytest.raises(ProcessingError, match=r"^b/x\.csv: line 2: expected 2 columns, found 1$"):
        read(runner, "in/*/x.csv")
    with pytest.raises(ProcessingError, match=r"^filename_column: x\.csv has a column 'A' already"):
        read(runner, "in/a/x.csv", filename_column="A")
    assert list(runner.store.run_folder("run").rglob("*.*")) == []


def test_links_that_lead_out_are_refused(
    runner: StepRunner, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A pattern finds nothing outside: neither by a link, nor by `..`, nor from elsewhere."""
    outside = tmp_path_factory.mktemp("outside")
    (outside / "x.csv").write_text("a\n1\n")
    have(runner, a_ok0csv="a\n1\n")
    (runner.folder / "in" / "a" / "link.csv").symlink_to(outside / "x.csv")
    (runner.folder / "in" / "b").symlink_to(outside)
    for path in (
        "in/a/*.csv",
        "in/b/*.csv",
        "in/*/x.csv",
        f"{outside}/*.csv",
        "/etc/pass*",
        "/*/passwd",
        "../*/x.csv",
        "in/*/../*/../../*/x.csv",
    ):
        with pytest.raises(ProcessingError, match=r"is outside of storage\.allowed_roots"):
            read(runner, path)
    (runner.folder / "in" / "a" / "link.csv").unlink()
    (runner.folder / "in" / "a" / "link.csv").symlink_to(runner.folder / "in" / "a" / "ok.csv")
    assert len(read(runner, "in/a/*.csv")) == 2


def test_patterns_that_find_nothing(runner: StepRunner) -> None:
    """No file is an error that says where it was looked for; a pattern has to be one."""
    have(runner, a0csv="a\n1\n")
    with pytest.raises(ProcessingError, match=r"no file matches 'in/\*\.txt'; looked in /"):
        read(runner, "in/*.txt")
    with pytest.raises(ProcessingError, match=r"no file matches 'out/\*\.csv'"):
        read(runner, "out/*.csv")


def test_too_many_files(runner: StepRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pattern that finds more than it may is refused."""
    have(runner, a0csv="a\n1\n", b0csv="a\n1\n")
    monkeypatch.setattr(wildcards, "MOST_FILES", 1)
    with pytest.raises(ProcessingError, match=r"'\*\.csv' finds more than 1 files; narrow it down"):
        read(runner, "in/*.csv")


def test_shipped_data_may_be_found(runner: StepRunner) -> None:
    """The packaged input is found by patterns, too, where no root has such files."""
    assert read(runner, "data/airline*.csv")
    assert Path(runner.results["read"].output.path or "").is_file()
