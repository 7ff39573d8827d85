"""Writing to databases, on SQLite, PostgreSQL and, where one is named, MySQL."""

# ruff: noqa: S608  the queries are the tests' own

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import inspect
from support.sources import NAME, Warehouse, warehouse
from support.steps import table

from datamcp.errors import DatamcpError, ProcessingError
from datamcp.processors.processor import ProcessingResult


@pytest.fixture
def target(blank_source_url: str, tmp_path: Path) -> Warehouse:
    """Return an empty database, of each kind that there is."""
    return warehouse(blank_source_url, tmp_path)


def given(target: Warehouse, sql: str, step: str = "rows") -> None:
    """Have the rows of a query of DuckDB's as the output of a step."""
    output = table(target.runner.folder / f"{step}.parquet", sql)
    target.runner.results[step] = ProcessingResult(output=output)


def write(target: Warehouse, *, task_id: str = "", **configuration: Any) -> ProcessingResult:
    """Write what `given` has."""
    settings = {"connection": NAME, "table": "orders", **configuration}
    return target.runner.run("write", "sql.write", ("rows",), task_id=task_id, **settings)


def orders(target: Warehouse) -> list[tuple[Any, ...]]:
    """Return the rows of the table."""
    return target.rows("select * from orders order by 1")


TWO = "select * from (values (1, 'a'), (2, 'b')) t(id, name)"


def test_a_table_is_made_and_filled(target: Warehouse) -> None:
    """Rows are added to what is there; the table is made at first."""
    given(target, TWO)
    result = write(target)
    assert (result.records_in, result.records_out, result.output.records_out) == (2, 2, 2)
    assert result.output.value == {"connection": NAME, "table": "orders", "mode": "append"}
    assert result.bytes_in > 0
    write(target)
    assert orders(target) == [(1, "a"), (1, "a"), (2, "b"), (2, "b")]


def test_an_attempt_that_is_made_again_writes_nothing(target: Warehouse) -> None:
    """A worker that dies after the commit leaves a task that succeeds, and rows that stand once."""
    given(target, TWO)
    assert write(target, task_id="one").warnings == ()
    again = write(target, task_id="one")
    assert again.records_out == 2
    assert again.warnings == (
        "the rows are in 'orders' already, from an earlier attempt of this task",
    )
    write(target, task_id="two")
    assert orders(target) == [(1, "a"), (1, "a"), (2, "b"), (2, "b")]
    assert target.rows("select write_id from datamcp_writes order by 1") == [("one",), ("two",)]
    [[instant]] = target.rows("select max(written_at) from datamcp_writes")
    assert str(instant) > "2020"


def test_two_attempts_at_once_write_once(target: Warehouse) -> None:
    """An attempt that was thought dead waits for its successor, or the other way round."""
    given(target, "select range as id from range(20000)")
    write(target, table="other")  # the tables are there, so that both are in the same place
    threads = [Thread(target=write, args=(target,), kwargs={"task_id": "one"}) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.rows("select count(*) from orders") == [(20_000,)]


def test_replacing(target: Warehouse) -> None:
    """What was there is gone, and nobody saw the table empty; a table that is not there is made."""
    given(target, TWO)
    write(target, mode="replace")
    given(target, "select 3 as id, 'c' as name")
    for _ in range(2):
        write(target, mode="replace", task_id="one")
        assert orders(target) == [(3, "c")]


def test_two_replacements_at_once_leave_one(target: Warehouse) -> None:
    """The rows of two replacements never stand beside each other."""
    given(target, "select range as id from range(5000)")
    write(target, mode="replace")
    threads = [Thread(target=write, args=(target,), kwargs={"mode": "replace"}) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.rows("select count(*), count(distinct id) from orders") == [(5000, 5000)]


def test_upserting_twice_is_upserting_once(target: Warehouse) -> None:
    """Rows with a known key are changed, others are added."""
    given(target, TWO)
    write(target, mode="upsert", key=["id"])
    given(target, "select * from (values (2, 'B'), (3, 'c')) t(id, name)")
    for _ in range(2):
        write(target, mode="upsert", key=["id"])
        assert orders(target) == [(1, "a"), (2, "B"), (3, "c")]


def test_upserting_a_key_alone(target: Warehouse) -> None:
    """Where all columns are the key, a row that is there stays."""
    given(target, TWO)
    for _ in range(2):
        write(target, mode="upsert", key=["id", "name"])
    assert orders(target) == [(1, "a"), (2, "b")]


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("select * from (values (1, 'a'), (1, 'b')) t(id, name)", r"key: 1 values of id stand in"),
        ("select * from (values (1, 'a'), (null, 'b')) t(id, name)", r"key: 1 rows have no value"),
        ("select 'a' as name", r"key: no column 'id' is written; there are name"),
    ],
)
def test_keys_that_say_nothing(target: Warehouse, sql: str, reason: str) -> None:
    """A key names one row, or nothing is written."""
    given(target, sql)
    with pytest.raises(ProcessingError, match=reason):
        write(target, mode="upsert", key=["id"])
    with target.connected() as connection:
        assert inspect(connection).get_table_names() == []


def test_an_upsert_needs_a_unique_index(target: Warehouse) -> None:
    """A table of others without an index for the key is refused."""
    target.execute("create table orders (id integer, name text)")
    given(target, TWO)
    with pytest.raises(ProcessingError, match=r"(?i)on conflict|no unique index on id"):
        write(target, mode="upsert", key=["id"])


def test_an_upsert_goes_by_its_key_alone(target: Warehouse) -> None:
    """Another unique index never says which row is changed."""
    target.execute("create table orders (id integer primary key, name varchar(9) unique)")
    target.execute("insert into orders values (1, 'a')")
    given(target, "select 2 as id, 'a' as name")
    with pytest.raises(ProcessingError, match=r"(?i)unique"):
        write(target, mode="upsert", key=["id"])
    assert orders(target) == [(1, "a")]


@pytest.mark.parametrize("mode", ["append", "replace", "upsert"])
def test_a_row_that_is_refused_undoes_all(target: Warehouse, mode: str) -> None:
    """After an error in the last row, the database is as it was; the next attempt may write."""
    target.execute(
        "create table orders (id integer primary key, name text, check (id <> 9999))",
        "insert into orders values (-1, 'old')",
    )
    given(target, "select range as id, 'x' as name from range(10000)")
    key = ["id"] if mode == "upsert" else []
    with pytest.raises(
        ProcessingError, match=r"^connection 'warehouse': .*(?i:check|constraint)"
    ) as caught:
        write(target, mode=mode, key=key, task_id="one")
    assert "\n" not in str(caught.value)
    assert orders(target) == [(-1, "old")]
    given(target, "select 5 as id, 'x' as name")
    write(target, mode=mode, key=key, task_id="one")
    assert (5, "x") in orders(target)


def test_a_table_that_was_made_is_undone_too(target: Warehouse) -> None:
    """What fails leaves no table behind."""
    given(
        target,
        "select range as id, case when range = 9000 then repeat('a', 2) end as " + '"9"'
        " from range(10000)",
    )
    target.execute("create table datamcp_writes (wrong integer)")
    with pytest.raises(ProcessingError, match="write_id"):
        write(target, task_id="one")
    with target.connected() as connection:
        left = ["orders"] if target.is_mysql else []  # it makes tables outside of transactions
        assert sorted(inspect(connection).get_table_names()) == ["datamcp_writes", *left]


def test_columns_are_mapped(target: Warehouse) -> None:
    """Columns go under other names, and those that are not named stay out."""
    target.execute(
        "create table orders (id integer, \"Full Name\" text, since varchar(9) default 'now')"
    )
    given(target, "select *, 1 as more from (" + TWO + ")")
    write(target, columns={"id": "id", "name": "Full Name"})
    assert orders(target) == [(1, "a", "now"), (2, "b", "now")]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"nam": "name"}, r"columns: the input has no column 'nam'; it has id, name; did you mean"),
        ({"name": "nam"}, r"table 'orders' has no column 'nam'; it has id, name; did you mean"),
        ({"name": "id", "id": "id"}, r"columns: 'id' of the table is given twice"),
    ],
)
def test_columns_that_are_not_there(
    target: Warehouse, columns: dict[str, str], reason: str
) -> None:
    """A wrong column is named with those that are there."""
    target.execute("create table orders (id integer, name text)")
    given(target, TWO)
    with pytest.raises(ProcessingError, match=reason):
        write(target, columns=columns)


def test_a_schema(target: Warehouse) -> None:
    """A table may be in a schema, and so is our own; one that is not there is an error."""
    if target.is_mysql:
        pytest.skip("a schema is another database there")
    schema = "main" if target.is_sqlite else "shop"
    given(target, TWO)
    if not target.is_sqlite:
        with pytest.raises(ProcessingError, match='schema "shop" does not exist'):
            write(target, table="shop.orders")
        target.execute("create schema shop")
    for _ in range(2):
        write(target, table=f"{schema}.orders", task_id="one")
    assert target.rows(f"select count(*) from {schema}.orders") == [(2,)]
    assert target.rows(f"select count(*) from {schema}.datamcp_writes") == [(1,)]


@pytest.mark.parametrize("name", ['x"; drop table orders; --', "a' b%s :c (d)", "select", "Ünï ☃"])
@pytest.mark.parametrize("mode", ["append", "replace", "upsert"])
def test_names_are_only_names(target: Warehouse, name: str, mode: str) -> None:
    """Whatever stands in the name of a table or a column is quoted."""
    target.execute("create table orders (id integer)")
    quoted = name.replace('"', '""')
    given(target, f'select 1 as "{quoted}", 2 as b')
    key = [name] if mode == "upsert" else []
    for task_id in ("one", "two"):
        write(target, table=name, mode=mode, key=key, task_id=task_id)
    found = target.runner.run("back", "sql.read", connection=NAME, table=name)
    assert found.records_out == (2 if mode == "append" else 1)
    assert target.runner.rows("back")[0] == {name: 1, "b": 2}
    assert orders(target) == []


TYPED = """select true as yes, 7::tinyint as small, 9223372036854775807 as big, 1.5::double as real,
    1234567.89::decimal(12, 2) as money, 18446744073709551615::ubigint as huge,
    'it''s' as word, date '2024-02-29' as day, time '10:11:12.5' as clock,
    timestamp '2024-01-02 03:04:05.000006' as local,
    timestamptz '2024-01-02 03:04:05+02' as instant, '\\x00\\xFF'::blob as bytes,
    [1, 2] as list, {'a': 'x'} as doc, interval '1 day' as span,
    '00000000-0000-0000-0000-000000000001'::uuid as id, 'b'::enum('a', 'b') as choice"""


def test_types(target: Warehouse) -> None:
    """Values arrive as what they are, as far as the database knows such; nulls stay nulls."""
    given(target, f"{TYPED} union all select " + ", ".join(["null"] * 17))
    write(target)
    [row] = target.rows("select * from orders where yes is not null")
    common = {0: True, 1: 7, 2: 2**63 - 1, 3: 1.5, 6: "it's", 11: b"\0\xff", 12: "[1,2]"}
    common |= {13: '{"a":"x"}', 14: "1 day", 15: "00000000-0000-0000-0000-000000000001", 16: "b"}
    found = {number: bytes(v) if isinstance(v, memoryview) else v for number, v in enumerate(row)}
    assert {number: found[number] for number in common} == common
    rest = [found[number] for number in (4, 5, 7, 8, 9, 10)]
    if target.is_sqlite:
        assert rest[:1] == [1234567.89]
        assert rest[2:] == [
            "2024-02-29",
            "10:11:12.500000",
            "2024-01-02 03:04:05.000006",
            "2024-01-02 01:04:05+00:00",
        ]
    else:
        clock = time(10, 11, 12, 500000)
        is_mysql = target.is_mysql  # whose times are as long as one likes, and whose instants UTC
        length = timedelta(hours=10, minutes=11, seconds=12.5)
        assert rest == [
            Decimal("1234567.89"),
            Decimal(2**64 - 1),
            date(2024, 2, 29),
            length if is_mysql else clock,
            datetime(2024, 1, 2, 3, 4, 5, 6),  # noqa: DTZ001  it has no zone
            datetime(2024, 1, 2, 1, 4, 5, tzinfo=None if is_mysql else UTC),
        ]
    assert target.rows("select * from orders where yes is null") == [(None,) * 17]


def test_text_fits_the_columns_of_others(blank_postgresql_url: str, tmp_path: Path) -> None:
    """PostgreSQL takes text for what its column is: JSON, ids, instants, numbers."""
    target = warehouse(blank_postgresql_url, tmp_path)
    target.execute("create table orders (a jsonb, b uuid, c timestamptz, d numeric)")
    row = """select '{"a": 1}' as a, '00000000-0000-0000-0000-000000000001' as b,
        '2024-01-01T00:00:00Z' as c, '1.50' as d"""
    given(target, f"{row} union all {row}")
    write(target)
    assert (
        target.rows("select a->>'a', c = timestamptz '2024-01-01 00:00Z', d from orders")
        == [("1", True, Decimal("1.50"))] * 2
    )
    given(target, row.replace("1.50", "many"))
    with pytest.raises(ProcessingError, match='invalid input syntax for type numeric: "many"'):
        write(target)


def test_what_a_driver_cannot_take(target: Warehouse) -> None:
    """A value that cannot be sent is one line, too, and nothing is written."""
    target.execute("create table orders (a text)")
    given(target, "select 'a' as a union all select 'a' || chr(0)")
    if target.is_sqlite or target.is_mysql:
        write(target)
        return
    with pytest.raises(ProcessingError, match=r"^connection 'warehouse': .*NUL"):
        write(target)
    assert orders(target) == [] if target.is_sqlite else True
    assert target.rows("select count(*) from orders") == [(0,)]


def test_no_rows(target: Warehouse) -> None:
    """A table without rows makes the table, or empties it."""
    given(target, TWO)
    write(target)
    given(target, TWO + " where id > 9")
    assert write(target).records_out == 0
    assert len(orders(target)) == 2
    write(target, mode="replace")
    assert orders(target) == []
    write(target, table="fresh")
    assert target.rows("select id, name from fresh") == []


def test_what_was_written_is_read_back(target: Warehouse) -> None:
    """A table of the run survives a database."""
    given(target, "select range as id, range / 2 as half, 'n' || range as name from range(3000)")
    write(target)
    target.runner.run("back", "sql.read", connection=NAME, query="select * from orders order by id")
    assert target.runner.rows("back") == target.runner.rows("rows")


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"mode": "upsert"}, "key: mode upsert needs the columns of the key"),
        ({"key": ["id"]}, "key: mode append has no key"),
    ],
)
def test_configurations_that_are_refused(
    target: Warehouse, wrong: dict[str, Any], reason: str
) -> None:
    """A key belongs to an upsert."""
    given(target, TWO)
    with pytest.raises(ProcessingError, match=reason):
        write(target, **wrong)


def test_exactly_one_input(target: Warehouse) -> None:
    """None or two inputs are refused by name."""
    with pytest.raises(ProcessingError, match=r"sql\.write takes exactly one input, got none"):
        target.runner.run("write", "sql.write", connection=NAME, table="a")


def test_an_unknown_connection(target: Warehouse) -> None:
    """A connection that nobody configured is named, with those that are."""
    given(target, TWO)
    with pytest.raises(ProcessingError, match=r"no connection 'warehose' in integrations \(there"):
        write(target, connection="warehose")
    with pytest.raises(DatamcpError, match=r"did you mean 'warehouse'\?$"):
        write(target, connection="warehose")
