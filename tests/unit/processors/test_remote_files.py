from collections.abc import Iterator

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from support.steps import StepRunner, table

from datamcp.errors import ProcessingError
from datamcp.processors.processor import ProcessingResult
from datamcp.processors.registry import ProcessorRegistry
from datamcp.storage.roots import AllowedRoots


@pytest.fixture
def memory() -> Iterator[MemoryFileSystem]:
    """Have fsspec's store in memory, empty before and after."""
    store = MemoryFileSystem()
    store.store.clear()
    yield store
    store.store.clear()


@pytest.fixture
def reaching(runner: StepRunner) -> StepRunner:
    """Return a runner that may read and write below `memory://in`."""
    roots = AllowedRoots([runner.folder, "memory://in/"])
    runner.registry = ProcessorRegistry(roots=roots, threads=2, memory_limit="512MB")
    return runner


def test_a_file_is_read(memory: MemoryFileSystem, reaching: StepRunner) -> None:
    """A file behind a URL becomes a table; its copy is gone."""
    memory.pipe_file("/in/a.csv", b"a\n1\n")
    result = reaching.run("read", "file.read", path="memory://in/a.csv", filename_column="file")
    assert reaching.rows("read") == [{"a": "1", "file": "a.csv"}]
    assert result.bytes_in == 4
    assert [path.name for path in reaching.store.run_folder("run").rglob("*.*")] == [
        "table.parquet"
    ]


def test_many_files_are_read(memory: MemoryFileSystem, reaching: StepRunner) -> None:
    """A pattern finds files behind a URL; what is wrong with one is told with its name."""
    memory.pipe_file("/in/x/a.csv", b"a\n1\n")
    memory.pipe_file("/in/y/a.csv", b"a\n2\n")
    reaching.run("read", "file.read", path="memory://in/*/a.csv", filename_column="file")
    assert reaching.rows("read") == [{"a": "1", "file": "x/a.csv"}, {"a": "2", "file": "y/a.csv"}]
    memory.pipe_file("/in/y/a.csv", b"a\n2,3\n")
    with pytest.raises(ProcessingError, match=r"^y/a\.csv: line 2: expected 1 columns, found 2"):
        reaching.run("read", "file.read", path="memory://in/*/a.csv")


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet", "jsonl"])
def test_a_file_is_written(memory: MemoryFileSystem, reaching: StepRunner, ending: str) -> None:
    """A table goes to a URL, and is read back from there."""
    output = table(reaching.folder / "rows.parquet", "select 'x' as a")
    reaching.results["rows"] = ProcessingResult(output=output)
    path = f"memory://in/out/a.{ending}"
    result = reaching.run("write", "file.write", ("rows",), path=path)
    assert result.output.path == path
    assert result.bytes_out == memory.info(f"/in/out/a.{ending}")["size"] > 0
    assert list(memory.store) == [f"/in/out/a.{ending}"]
    reaching.run("read", "file.read", path=path)
    assert reaching.rows("read") == [{"a": "x"}]


def test_places_outside(memory: MemoryFileSystem, reaching: StepRunner) -> None:
    """What is not below an allowed URL is refused before anything is done."""
    for processor, inputs in (("file.read", ()), ("file.write", ("rows",))):
        output = table(reaching.folder / "rows.parquet", "select 'x' as a")
        reaching.results["rows"] = ProcessingResult(output=output)
        with pytest.raises(ProcessingError, match=r"'memory://out/a\.csv' is outside of storage"):
            reaching.run("step", processor, inputs, path="memory://out/a.csv")
    assert list(memory.store) == []
