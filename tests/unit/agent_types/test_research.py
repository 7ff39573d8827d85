"""The research agent's report: headings, tables, and what is wrong with its inputs."""

import logging
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from datamcp.agent_types.reading.markup import table as markdown_table
from datamcp.agent_types.research import ResearchAgent, Section
from datamcp.errors import ProcessingError
from datamcp.processors.processor import Output
from datamcp.storage.artifacts import ArtifactStore
from datamcp.storage.roots import AllowedRoots
from datamcp.tasks import context as contexts
from datamcp.tasks.context import TaskContext
from datamcp.tasks.task import Task


@pytest.fixture
def progress(tmp_path: Path) -> Iterator[list[float | None]]:
    """Have a task running here; what it reports as progress is in the list."""
    reported: list[float | None] = []
    context = TaskContext(
        task_id="1",
        idempotency_key="1",
        attempt=1,
        deadline=None,
        agent_id="research-1@here",
        logger=logging.LoggerAdapter(logging.getLogger("test"), {}),
        _task=lambda: Task(task_type="research.report"),
        _workspace=lambda: ArtifactStore(str(tmp_path / "artifacts")).workspace("run", "a", 1),
        _beat=lambda value: bool(reported.append(value)),
        _find=AllowedRoots([tmp_path]).find,
    )
    token = contexts.current.set(context)
    yield reported
    contexts.current.reset(token)


def table(path: Path, sql: str) -> Output:
    """Return the output of a step that left the rows of a query."""
    duckdb.sql(sql).write_parquet(str(path))
    return Output(path=str(path), records_out=len(duckdb.sql(sql).fetchall()))


def test_writes_what_its_inputs_hold(tmp_path: Path, progress: list[float | None]) -> None:
    """Each section has its heading, its text and its step's table; numbers are for people."""
    rows = table(
        tmp_path / "t.parquet", "select 'a|b' as full_name, 1234567 as n, 0.12345 as share"
    )
    section = Section(heading="All", input="rows", text="What there is.")

    output = ResearchAgent().report("Title", [section, section], {"rows": rows})

    text = Path(str(output.path)).read_text()
    assert text.startswith("# Title\n\n## All\n\nWhat there is.\n\n")
    assert "| full name | n | share |\n| --- | ---: | ---: |\n| a\\|b | 1,234,567 | 0.123 |" in text
    assert output.bytes_out == len(text.encode())
    assert progress == [0.5, 1.0]


def test_says_how_much_of_a_long_table_it_shows(
    tmp_path: Path, progress: list[float | None]
) -> None:
    """A table over the limit is cut, and the report says so."""
    rows = table(tmp_path / "t.parquet", "select range as i from range(5000)")

    output = ResearchAgent().report("T", [Section(heading="H", input="r", limit=3)], {"r": rows})

    text = Path(str(output.path)).read_text()
    assert "3 of 5,000 rows." in text
    assert text.count("\n| ") == 5


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "no output of rows"),
        ({"rows": Output(path="/nowhere/t.parquet")}, "t.parquet"),
    ],
)
def test_an_input_that_is_no_table_is_one_clear_error(
    progress: list[float | None], inputs: dict[str, Output], message: str
) -> None:
    """A report of what is not there is refused, and names the step or the file."""
    with pytest.raises(ProcessingError, match=message):
        ResearchAgent().report("T", [Section(heading="H", input="rows")], inputs)


def test_cells_are_written_for_people() -> None:
    """Empty, true and false, thousands, small and large fractions."""
    rows = [(None, True, 1000, 0.5), ("line\nbreak", False, -2, 1234.5)]

    assert markdown_table(["a", "b", "c", "d"], rows)[2:] == [
        "|  | yes | 1,000 | 0.500 |",
        "| line break | no | -2 | 1,234.50 |",
    ]
