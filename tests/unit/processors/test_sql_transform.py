import os
from pathlib import Path

import pytest
from pydantic import ValidationError
from support.steps import StepRunner, table

from datamcp.errors import ProcessingError
from datamcp.processors.processor import ProcessingResult


@pytest.fixture
def tables(runner: StepRunner) -> StepRunner:
    """Return a runner with the outputs of two steps: `numbers` and `names-1`."""
    for step, sql in {
        "numbers": "select range as n, range % 3 as k from range(10)",
        "names-1": "select * from (values (0, 'zero'), (1, 'one')) t(k, name)",
    }.items():
        output = table(runner.folder / f"{step}.parquet", sql)
        runner.results[step] = ProcessingResult(output=output)
    return runner


def test_inputs_are_tables_named_after_their_steps(tables: StepRunner) -> None:
    """The SQL sees each input under its step's name, and its rows keep the order it asks for."""
    sql = """
        -- a comment; with a semicolon
        with counted as (select k, count(*) as c, median(n) as m from numbers group by k)
        select name, c, m from counted left join "names-1" using (k) order by c desc, name desc;
    """
    result = tables.run("out", "sql.transform", ("numbers", "names-1"), sql=sql)
    assert tables.rows("out") == [
        {"name": "zero", "c": 4, "m": 4.5},
        {"name": "one", "c": 3, "m": 4.0},
        {"name": None, "c": 3, "m": 5.0},
    ]
    assert (result.records_in, result.records_out) == (12, 3)
    assert result.bytes_in > 0 < result.bytes_out
    assert result.execution_time > 0


@pytest.mark.parametrize(
    "sql",
    [
        "select 1 as a",
        "from numbers select n as a where n = 1",
        "values (1)",
        "select unnest([1]) as a",
        "select * from range(1, 2)",
        "select 1 as a -- the end",
    ],
)
def test_forms_of_select(tables: StepRunner, sql: str) -> None:
    """Every form of a query is fine, also without any input."""
    tables.run("out", "sql.transform", ("numbers",), sql=sql)
    assert [list(row.values()) for row in tables.rows("out")] == [[1]]


def test_means_and_medians_leave_missing_values_out(tables: StepRunner) -> None:
    """A mean or median is over the values that are there, and missing where there are none."""
    sql = """
        select k, avg(v) as mean, median(v) as middle, count(v) as n
        from (values (1, 1), (1, null), (1, 4), (2, null)) t(k, v) group by k order by k
    """
    tables.run("out", "sql.transform", sql=sql)
    assert tables.rows("out") == [
        {"k": 1, "mean": 2.5, "middle": 2.5, "n": 2},
        {"k": 2, "mean": None, "middle": None, "n": 0},
    ]


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        (
            "select foo from numbers",
            r'Binder Error: .*"foo" not found.*Candidate bindings.*\(line 1\)',
        ),
        ("select *\nfrom nothing", r"Table with name nothing does not exist.*\(line 2\)"),
        ("select n +\nfrom", "sql must be one SELECT: syntax error"),
        ("select 'x'::integer", r"Could not convert string 'x' to INT32"),
        ("select 1; select 2", "sql must be one SELECT, got 2 statements"),
        ("-- nothing", "sql must be one SELECT"),
        ("select 1) to '/tmp/x'; --", "sql must be one SELECT"),
    ],
)
def test_wrong_sql_is_one_line(tables: StepRunner, sql: str, reason: str) -> None:
    """Wrong SQL fails with the engine's message in one line, and leaves nothing behind."""
    with pytest.raises(ProcessingError, match=reason) as caught:
        tables.run("out", "sql.transform", ("numbers",), sql=sql)
    assert "\n" not in str(caught.value)
    assert list(tables.store.run_folder("run").rglob("*.*")) == []


HIDDEN = "nobody may read this"

FORBIDDEN = [
    "select * from read_csv('{secret}')",
    "select * from read_text('{secret}')",
    "select * from '{secret}'",
    "select * from read_parquet('{own}')",
    "select * from glob('{folder}/*')",
    "select (select content from read_text('{secret}'))",
    "select * from query('select * from read_text(''{secret}'')')",
    "select * from json_execute_serialized_sql('x')",
    "select * from sniff_csv('{secret}')",
    "select * from parquet_metadata('{own}')",
    "select * from duckdb_settings()",
    "select * from arrow_scan(1, 2, 3)",
    "select * from pandas_scan(1)",
    "select * from enable_logging()",
    "select * from checkpoint()",
    "select * from 'https://example.com/x.csv'",
    "copy numbers to '{out}'",
    "copy numbers to '{own}' (format parquet)",
    "copy (select 1) to '{out}'",
    "attach '{out}' as x",
    "install httpfs",
    "load httpfs",
    "set enable_external_access = true",
    "set threads = 64",
    "pragma enable_profiling",
    "create table x as select 1",
    "drop view numbers",
    "insert into numbers values (1, 2)",
    "with x as (insert into numbers values (1, 2) returning *) select * from x",
    "export database '{out}'",
    "call pragma_version()",
    "select * from secret_text",
    "select * from tables",
]


@pytest.mark.parametrize("sql", FORBIDDEN)
def test_sql_reaches_nothing_but_its_inputs(tables: StepRunner, sql: str) -> None:
    """No file, network, setting, extension or variable of the program can be reached or changed."""
    secret_text = tables.folder / "secret.txt"
    secret_text.write_text(HIDDEN)
    own = tables.folder / "numbers.parquet"
    before = (own.read_bytes(), snapshot(tables.folder))
    asked = sql.format(
        secret=secret_text, own=own, folder=tables.folder, out=tables.folder / "made"
    )
    with pytest.raises(ProcessingError) as caught:
        tables.run("out", "sql.transform", ("numbers",), sql=asked)
    assert "\n" not in str(caught.value)
    assert (own.read_bytes(), snapshot(tables.folder)) == before


def snapshot(folder: Path) -> set[str]:
    """Return the files below a folder."""
    return {
        os.path.join(place, name)  # noqa: PTH118  walk gives text
        for place, _, names in os.walk(folder)
        for name in names
    }


def test_large_work_spills_and_leaves_nothing(tmp_path: Path) -> None:
    """What does not fit in memory goes to a scratch folder, which is gone afterwards."""
    runner = StepRunner(tmp_path, threads=1, memory_limit="100MB")
    sql = "select range as n, hash(range) as h from range(6000000) order by h"
    assert runner.run("out", "sql.transform", sql=sql).records_out == 6_000_000
    assert [Path(path).name for path in snapshot(tmp_path)] == ["table.parquet"]


def test_limits_of_the_engine(tmp_path: Path) -> None:
    """The engine has the threads and the memory that the process was given."""
    runner = StepRunner(tmp_path, threads=1, memory_limit="100MB")
    sql = "select current_setting('threads') as t, current_setting('memory_limit') as m"
    runner.run("out", "sql.transform", sql=sql)
    assert runner.rows("out") == [{"t": 1, "m": "95.3 MiB"}]
    with pytest.raises(ProcessingError, match="memory"):
        StepRunner(tmp_path, threads=1, memory_limit="1MB").run(
            "out", "sql.transform", sql="select list(range) from range(9000000)"
        )


def test_other_engines_are_refused(runner: StepRunner) -> None:
    """DuckDB is the only engine, and the SQL may not be empty."""
    model = runner.registry.config_model("sql.transform")
    for configuration in ({"sql": "select 1", "engine": "spark"}, {"sql": ""}, {"query": "x"}):
        with pytest.raises(ValidationError):
            model.model_validate(configuration)
