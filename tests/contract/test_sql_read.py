"""Reading databases, on SQLite and on PostgreSQL."""

import json

# ruff: noqa: S608  the queries are the tests' own
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from sqlalchemy import text
from support.sources import NAME, Warehouse, warehouse

from datamcp.errors import ProcessingError


@pytest.fixture
def source(blank_source_url: str, tmp_path: Path) -> Warehouse:
    """Return an empty database, of each kind that there is."""
    return warehouse(blank_source_url, tmp_path)


@pytest.fixture
def server(blank_postgresql_url: str, tmp_path: Path) -> Warehouse:
    """Return an empty database of PostgreSQL."""
    return warehouse(blank_postgresql_url, tmp_path)


@pytest.fixture
def file(blank_sqlite_url: str, tmp_path: Path) -> Warehouse:
    """Return an empty database of SQLite."""
    given = warehouse(blank_sqlite_url, tmp_path)
    given.execute("create table t (a integer, b text, c real, d blob, e date)")
    return given


def read(source: Warehouse, **configuration: Any) -> list[dict[str, Any]]:
    """Return the rows that `sql.read` hands over."""
    source.runner.run("read", "sql.read", connection=NAME, **configuration)
    return source.runner.rows("read")


def types(source: Warehouse) -> dict[str, str]:
    """Return the types of the columns of the table that was read last."""
    path = source.runner.results["read"].output.path
    with duckdb.connect() as connection:
        found = connection.execute("select * from read_parquet(?)", [path]).description
    return {name: str(kind) for name, kind, *_ in found}


def fill(source: Warehouse, rows: int) -> None:
    """Have a table `orders` with that many rows."""
    source.execute(
        "create table orders (id integer primary key, name text, price double precision)"
    )
    more(source, 1, rows)


def more(source: Warehouse, first: int, last: int) -> None:
    """Add rows to `orders`."""
    rows = [{"i": i, "name": f"name {i}", "price": i / 4} for i in range(first, last + 1)]
    with source.connected() as connection:
        connection.execute(text("insert into orders values (:i, :name, :price)"), rows)


def test_a_table_and_a_query_are_read(source: Warehouse) -> None:
    """A table is read whole, a query as it says; the result counts rows and bytes."""
    fill(source, 5000)
    assert len(read(source, table="orders")) == 5000
    result = source.runner.results["read"]
    assert (result.records_in, result.records_out, result.output.records_out) == (5000,) * 3
    assert result.bytes_in > result.bytes_out > 0
    assert result.watermark is None
    found = read(source, query="select id as n, price from orders where id <= 2 order by id desc;")
    assert found == [{"n": 2, "price": 0.5}, {"n": 1, "price": 0.25}]


def test_parameters_are_bound(source: Warehouse) -> None:
    """Values are data, whatever they look like; a list is for `in`."""
    fill(source, 10)
    query = "select id from orders where name = :name or id in :ids order by id -- the end"
    found = read(
        source, query=query, parameters={"name": "x'; drop table orders; --", "ids": [3, 4]}
    )
    assert [row["id"] for row in found] == [3, 4]
    joined = "concat(:a, '%')" if source.is_mysql else ":a || '%'"
    found = read(source, query=f"select {joined} as a, 100 % 7 as b", parameters={"a": "50"})
    assert found == [{"a": "50%", "b": 2}]


@pytest.mark.parametrize(
    ("query", "parameters", "reason"),
    [
        ("select id from orders where id = :id", {}, r"parameters: 'id' not given; a colon"),
        ("select id from orders", {"a": 1, "b": 2}, r"parameters: the query has no :a, :b$"),
        ("delete from orders", {}, r"query: must be one SELECT \(it begins"),
        ("/* select */ -- select\n (update orders set id = 1)", {}, "must be one SELECT"),
        ("select 1; drop table orders", {}, "must be one SELECT: a `;` may only end it"),
        ("selecting id from orders", {}, "must be one SELECT"),
        ("select nothing from orders", {}, r"^connection 'warehouse': .*nothing"),
        ("select * from nowhere", {}, r"^connection 'warehouse': .*nowhere"),
        ("select id, id from orders", {}, r"duplicate column names: 'id', 'id'; rename them"),
        ("with x as (select 1 as a) select a from x where", {}, r"^connection 'warehouse': "),
    ],
)
def test_queries_that_are_refused(
    source: Warehouse, query: str, parameters: dict[str, Any], reason: str
) -> None:
    """Whatever is wrong with a query is one line, and nothing was changed."""
    fill(source, 1)
    with pytest.raises(ProcessingError, match=reason) as caught:
        read(source, query=query, parameters=parameters)
    assert "\n" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__cause__ is None
    assert source.rows("select count(*) from orders") == [(1,)]


def test_nothing_can_be_changed(source: Warehouse) -> None:
    """What looks like a SELECT and writes is refused by the database itself."""
    fill(source, 1)
    query = "with gone as (delete from orders returning id) select id from gone"
    with pytest.raises(ProcessingError):
        read(source, query=query)
    assert source.rows("select count(*) from orders") == [(1,)]


def test_functions_that_write_are_refused(server: Warehouse) -> None:
    """The transaction is for reading only, and cannot be told otherwise."""
    server.execute("create sequence s")
    for call in ("nextval('s')", "set_config('transaction_read_only', 'off', true)"):
        with pytest.raises(ProcessingError, match=r"read-only|read-write"):
            read(server, query=f"select {call}")


@pytest.mark.parametrize(
    "name",
    ['orders"; drop table orders; --', "orders where 1 = 0", "no.orders", "orders --", "'x'"],
)
def test_a_table_s_name_is_only_a_name(source: Warehouse, name: str) -> None:
    """Whatever stands in the name of a table is looked for, and never run."""
    fill(source, 1)
    with pytest.raises(ProcessingError, match=r"^connection 'warehouse': "):
        read(source, table=name)
    assert source.rows("select count(*) from orders") == [(1,)]


def test_names_that_have_to_be_quoted(source: Warehouse) -> None:
    """A table and its columns may have any name."""
    source.execute('create table "select a%:b" ("Order" integer, "a ""b"" %s :c" integer)')
    source.execute('insert into "select a%:b" values (1, 2)')
    found = read(source, table="select a%:b", watermark={"column": "Order"})
    assert found == [{"Order": 1, 'a "b" %s :c': 2}]


def test_either_a_query_or_a_table(source: Warehouse) -> None:
    """One of both, not none and not two; parameters belong to a query."""
    for wrong in ({}, {"query": "select 1 as a", "table": "a"}):
        with pytest.raises(ProcessingError, match="give either query or table"):
            read(source, **wrong)
    with pytest.raises(ProcessingError, match="parameters: they are for a query"):
        read(source, table="a", parameters={"a": 1})


TYPED = """select
    7::int2 as small, 9223372036854775807::int8 as big, 1.5::float8 as real, 0.1::float4 as single,
    1234567.89::numeric(12, 2) as money, 1.5::numeric as free, true as yes, 'a'::text as word,
    'b'::varchar(9) as short, date '2024-02-29' as day, time '10:11:12.5' as clock,
    timestamp '2024-01-02 03:04:05.000006' as local, timestamptz '2024-01-02 03:04:05+02' as instant,
    '\\x00ff'::bytea as bytes, '{"a": [1, "x"]}'::jsonb as doc, '"text"'::json as scalar,
    array[1, 2] as list, '00000000-0000-0000-0000-000000000001'::uuid as id,
    interval '1 day 2 hours' as span
"""

VALUES = {
    "small": (7, "BIGINT"),
    "big": (2**63 - 1, "BIGINT"),
    "real": (1.5, "DOUBLE"),
    "single": (0.1, "DOUBLE"),
    "money": (Decimal("1234567.89"), "DECIMAL(38,2)"),
    "free": (Decimal("1.5"), "DECIMAL(38,1)"),
    "yes": (True, "BOOLEAN"),
    "word": ("a", "VARCHAR"),
    "short": ("b", "VARCHAR"),
    "day": (date(2024, 2, 29), "DATE"),
    "clock": (time(10, 11, 12, 500000), "TIME"),
    "local": (datetime(2024, 1, 2, 3, 4, 5, 6), "TIMESTAMP"),  # noqa: DTZ001  it has no zone
    "instant": (datetime(2024, 1, 2, 1, 4, 5, tzinfo=UTC), "TIMESTAMP WITH TIME ZONE"),
    "bytes": (b"\x00\xff", "BLOB"),
    "doc": ('{"a": [1, "x"]}', "VARCHAR"),
    "scalar": ('"text"', "VARCHAR"),
    "list": ("[1, 2]", "VARCHAR"),
    "id": ("00000000-0000-0000-0000-000000000001", "VARCHAR"),
    "span": (timedelta(days=1, hours=2), "INTERVAL"),
}


def test_types_of_postgresql(server: Warehouse) -> None:
    """Every value comes as what it is."""
    [row] = read(server, query=TYPED)
    assert row == {name: value for name, (value, _) in VALUES.items()}
    assert types(server) == {name: kind for name, (_, kind) in VALUES.items()}


def test_columns_stay_without_rows(server: Warehouse) -> None:
    """Without rows, columns keep their names and types."""
    assert read(server, query=f"select * from ({TYPED}) t where false") == []
    expected = {name: kind for name, (_, kind) in VALUES.items()}
    assert types(server) == expected | {"free": "DECIMAL(38,9)"}


def test_columns_stay_without_values(server: Warehouse) -> None:
    """Where all values are missing, columns keep their types, too."""
    query = "select null::int as a, null::timestamptz as b, null as c, null::numeric(9, 2) as d"
    assert read(server, query=query) == [dict.fromkeys("abcd")]
    assert list(types(server).values()) == [
        "BIGINT",
        "TIMESTAMP WITH TIME ZONE",
        "VARCHAR",
        "DECIMAL(38,2)",
    ]


def test_odd_numbers_of_postgresql(server: Warehouse) -> None:
    """Too long decimals and NaN become floating point, with a warning; infinity is a float."""
    query = "select 'nan'::numeric as a, 1e60::numeric as b, 'inf'::float8 as c, 2e20::numeric as d"
    [row] = read(server, query=query)
    assert str(row["a"]) == "nan"
    assert (row["b"], row["c"], row["d"]) == (1e60, float("inf"), Decimal(2 * 10**20))
    assert [text.partition(":")[0] for text in server.runner.results["read"].warnings] == ["a", "b"]
    with pytest.raises(ProcessingError, match="year -44 is out of range"):
        read(server, query="select date '0044-03-15 BC' as day")


def test_types_of_sqlite(file: Warehouse) -> None:
    """Values come as SQLite keeps them; a column that mixes them has a type that holds all."""
    file.execute(
        "insert into t values (1, 'a' || char(0) || 'b', 1.5, x'00ff', '2024-01-01')",
        "insert into t values (null, null, 2, null, null)",
        "insert into t values ('many', 7, 9223372036854775807, null, null)",
    )
    found = read(file, table="t")
    assert [row["a"] for row in found] == ["1", None, "many"]
    assert [row["b"] for row in found] == ["a\0b", None, "7"]
    assert [row["c"] for row in found] == [1.5, 2.0, float(2**63 - 1)]
    assert [row["d"] for row in found] == [b"\x00\xff", None, None]
    file.execute("insert into t values (null, null, null, 'text', null)")
    with pytest.raises(ProcessingError, match=r"column 'd' holds bytes, text: no type holds all"):
        read(file, table="t")


def test_an_empty_table_of_sqlite_keeps_its_types(file: Warehouse) -> None:
    """Integers, floats and bytes are known from the table; the rest is text."""
    assert read(file, table="t") == []
    assert list(types(file).values()) == ["BIGINT", "VARCHAR", "DOUBLE", "BLOB", "VARCHAR"]


def go_on(
    source: Warehouse, last: str | None, **configuration: Any
) -> tuple[list[Any], str | None]:
    """Return the first column of what is read after `last`, and the new watermark."""
    result = source.runner.run("read", "sql.read", connection=NAME, last=last, **configuration)
    return [next(iter(row.values())) for row in source.runner.rows("read")], result.watermark


def test_only_what_is_new_is_read(source: Warehouse) -> None:
    """A run goes on after the greatest value that the last one saw; nothing new changes nothing."""
    fill(source, 3)
    source.execute("insert into orders values (100, 'late', 1)")
    query = "select id, name, price from orders where id <> :id"
    step = {"query": query, "parameters": {"id": 100}, "watermark": {"column": "id", "initial": 1}}
    assert go_on(source, None, **step) == ([2, 3], "3")
    more(source, 4, 5)
    assert go_on(source, "3", **step) == ([4, 5], "5")
    typed = types(source)
    assert go_on(source, "5", **step) == ([], "5")
    assert types(source) == typed
    step["watermark"] = {"column": "id"}
    assert go_on(source, None, **step) == ([1, 2, 3, 4, 5], "5")


def test_a_table_is_read_incrementally(source: Warehouse) -> None:
    """A table and a column of text or floats do as well; what has no value is never read."""
    source.execute("create table t (a varchar(9), b double precision)")
    assert go_on(source, None, table="t", watermark={"column": "a"}) == ([], None)
    source.execute("insert into t values ('a', 0.1), ('b', 0.30000000000000004), (null, null)")
    assert go_on(source, None, table="t", watermark={"column": "a"}) == (["a", "b"], '"b"')
    assert go_on(source, '"a"', table="t", watermark={"column": "a"}) == (["b"], '"b"')
    assert go_on(source, "0.1", table="t", watermark={"column": "b"}) == (
        ["b"],
        "0.30000000000000004",
    )
    assert go_on(source, "0.30000000000000004", table="t", watermark={"column": "b"})[0] == []


@pytest.mark.parametrize(
    ("kind", "values", "last"),
    [
        (
            "timestamptz",
            ("2024-01-01 00:00:00.000001+02", "2024-01-01"),
            '"2024-01-01T00:00:00+00:00"',
        ),
        ("timestamp", ("2024-01-01", "2024-01-01 00:00:00.000001"), '"2024-01-01T00:00:00.000001"'),
        ("date", ("2023-12-31", "2024-02-29"), '"2024-02-29"'),
        ("numeric", ("9.99", "10.10"), '"10.10"'),
        ("bigint", ("9", "10"), "10"),
        ("uuid", ("0" * 32, "f" * 32), '"ffffffff-ffff-ffff-ffff-ffffffffffff"'),
        ("text", ("B", "a", "b"), '"b"'),
    ],
)
def test_watermarks_of_postgresql(
    server: Warehouse, kind: str, values: tuple[str, ...], last: str
) -> None:
    """A watermark comes back as it went, and is the greatest as the database orders values."""
    server.execute(f"create table t (a {kind})")
    server.execute(*(f"insert into t values ('{value}')" for value in values))
    found, told = go_on(server, None, table="t", watermark={"column": "a"})
    assert (len(found), told) == (len(values), last)
    assert go_on(server, told, table="t", watermark={"column": "a"}) == ([], told)


def test_columns_that_are_no_watermark(source: Warehouse) -> None:
    """A column that is not there is named with those that are, and some types have no order."""
    fill(source, 1)
    with pytest.raises(ProcessingError, match=r"idd"):
        go_on(source, None, table="orders", watermark={"column": "idd"})
    with pytest.raises(ProcessingError, match=r"idd"):
        go_on(source, None, query="select id from orders", watermark={"column": "idd"})
    for last in ("[1]", "nonsense"):
        with pytest.raises(ProcessingError, match="is no watermark: "):
            go_on(source, last, table="orders", watermark={"column": "id"})


def test_values_that_are_no_watermark(file: Warehouse) -> None:
    """SQLite may mix values that have no order, and bytes are no JSON."""
    with pytest.raises(ProcessingError, match=r"no column 'f'; there are a, b, c, d, e$"):
        go_on(file, None, table="t", watermark={"column": "f"})
    file.execute("insert into t values (1, 'a', 1, x'00', ''), ('x', 'a', 1, x'00', '')")
    with pytest.raises(ProcessingError, match="watermark: its values cannot be compared"):
        go_on(file, None, table="t", watermark={"column": "a"})
    with pytest.raises(ProcessingError, match="watermark: its column holds bytes; take one of"):
        go_on(file, None, table="t", watermark={"column": "d"})


def test_a_watermark_is_json(source: Warehouse) -> None:
    """What is told survives the ledger."""
    fill(source, 1)
    _, told = go_on(source, None, table="orders", watermark={"column": "name"})
    assert json.loads(str(told)) == "name 1"


def test_long_values_are_read(source: Warehouse) -> None:
    """A value of many megabytes is read whole."""
    source.execute(f"create table t (a {'longtext' if source.is_mysql else 'text'})")
    with source.connected() as connection:
        connection.execute(text("insert into t values (:a)"), {"a": "é" * 3_000_000})
    [row] = read(source, table="t")
    assert row["a"] == "é" * 3_000_000
