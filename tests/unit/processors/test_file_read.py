import gzip
import json
import tracemalloc
from pathlib import Path

import duckdb
import pytest
from support.steps import StepRunner, table

from datamcp.errors import ProcessingError


def test_csv_is_read_as_text(runner: StepRunner) -> None:
    """Every column is text; only the given null values, quoted or not, are missing."""
    (runner.folder / "a.csv").write_text('a,b\n007,NA\n"x, ""y""",\n1e3,"line\nbreak"\n')
    result = runner.run("read", "file.read", path="a.csv", null_values=["NA"])
    assert runner.rows("read") == [
        {"a": "007", "b": None},
        {"a": 'x, "y"', "b": ""},
        {"a": "1e3", "b": "line\nbreak"},
    ]
    assert (result.records_in, result.records_out, result.records_rejected) == (3, 3, 0)
    assert result.bytes_in == (runner.folder / "a.csv").stat().st_size
    assert result.bytes_out == Path(result.output.path or "").stat().st_size > 0
    assert result.output.records_out == 3


@pytest.mark.parametrize(
    "content",
    [
        b"a,b\n1,2\n3,\n",
        b"a,b\r\n1,2\r\n3,\r\n",
        b"\xef\xbb\xbfa,b\n1,2\n3,",
        b'"a","b"\n\n"1","2"\n3,\n\n',
    ],
)
def test_dialects_of_csv(runner: StepRunner, content: bytes) -> None:
    """Line ends, a byte order mark, quotes and blank lines make no difference."""
    (runner.folder / "a.csv").write_bytes(content)
    runner.run("read", "file.read", path="a.csv")
    assert runner.rows("read") == [{"a": "1", "b": "2"}, {"a": "3", "b": None}]


def test_other_formats(runner: StepRunner) -> None:
    """Gzip, other delimiters, JSON lines and Parquet are read; the ending tells, or `format`."""
    (runner.folder / "a.csv.gz").write_bytes(gzip.compress(b"a\n1\n") + gzip.compress(b"2\n"))
    (runner.folder / "a.txt").write_text("a;b\n1;2\n")
    (runner.folder / "a.jsonl").write_text('{"a": 1}\n{"a": 2, "b": "x"}\n')
    (runner.folder / "a.ndjson.gz").write_bytes(gzip.compress(b'{"a": 1}\n'))
    table(runner.folder / "a.parquet", "select 1 as a, date '2013-01-01' as d")
    runner.run("csv", "file.read", path="a.csv.gz")
    runner.run("txt", "file.read", path="a.txt", format="csv", delimiter=";")
    runner.run("json", "file.read", path="a.jsonl")
    runner.run("gzip", "file.read", path="a.ndjson.gz")
    runner.run("parquet", "file.read", path="a.parquet", types={"a": "string"})
    assert runner.rows("csv") == [{"a": "1"}, {"a": "2"}]
    assert runner.rows("txt") == [{"a": "1", "b": "2"}]
    assert runner.rows("json") == [{"a": 1, "b": None}, {"a": 2, "b": "x"}]
    assert runner.rows("gzip") == [{"a": 1}]
    assert [row["a"] for row in runner.rows("parquet")] == ["1"]


def test_header_alone_is_an_empty_table(runner: StepRunner) -> None:
    """A file without rows is a table without rows."""
    (runner.folder / "a.csv").write_text("a,b\n")
    assert runner.run("read", "file.read", path="a.csv").records_out == 0
    assert runner.rows("read") == []


def test_given_types(runner: StepRunner) -> None:
    """Given types are applied; a value that does not fit is named with its row."""
    (runner.folder / "a.csv").write_text("it's,b\n1,x\n,y\nno,z\n")
    with pytest.raises(
        ProcessingError, match=r"^a\.csv: row 3: it's: 'no' is not of type integer$"
    ):
        runner.run("read", "file.read", path="a.csv", types={"it's": "integer"})
    with pytest.raises(ProcessingError, match=r"no column 'c' in a\.csv"):
        runner.run("read", "file.read", path="a.csv", types={"c": "integer"})
    (runner.folder / "b.csv").write_text("a,b\n1.0,x\n,y\n")
    runner.run("read", "file.read", path="b.csv", types={"a": "integer"})
    assert runner.rows("read") == [{"a": 1, "b": "x"}, {"a": None, "b": "y"}]


_NUMBERS = (
    *("0", "-0", "007", "+5", " 5 ", "5.", ".5", "5.0", "517.5", "-1e3", "1e-2", "1E+2", "0x1F"),
    *("1_000", "1__0", "0b1", "1d", "nan", "-inf", "Infinity", "1e400", "1e-400", "-", "+", "5 5"),
    *("9007199254740991", "9007199254740992", "9007199254740993", "9007199254740993.0"),
    *("9223372036854775807", "9223372036854775808", "12345678901234567890", "4503599627370496.5"),
    *("true", "\u0663", "\t5", "  ", "''", "0.1", "1e15", "1e16", "123456789.123456789"),
)


@pytest.mark.parametrize("kind", ["integer", "number"])
@pytest.mark.parametrize("text", _NUMBERS)
def test_a_number_is_the_same_whichever_way_it_is_read(
    runner: StepRunner, text: str, kind: str
) -> None:
    """DuckDB reads those of a plain file itself, and those of a compressed one come as text."""

    def read(name: str) -> object:
        try:
            runner.run("read", "file.read", path=name, types={"a": kind})
        except ProcessingError as error:
            return str(error).removeprefix(name)
        return repr(runner.rows("read"))  # which tells 1 from 1.0, and 0.0 from -0.0

    content = f"a,b\n12,x\n{text},y\n".encode()
    (runner.folder / "a.csv").write_bytes(content)
    (runner.folder / "a.csv.gz").write_bytes(gzip.compress(content))
    assert read("a.csv") == read("a.csv.gz")


def test_a_number_that_is_none_is_found_among_many(runner: StepRunner) -> None:
    """Its row is told, and its text as it is in the file."""
    rows = "".join(f"{number},x\n" for number in range(5000))
    (runner.folder / "a.csv").write_text(f"a,b\n{rows}0x1F,y\n{rows}")
    with pytest.raises(ProcessingError, match=r"^a\.csv: row 5001: a: '0x1F' is not of type int"):
        runner.run("read", "file.read", path="a.csv", types={"a": "integer", "b": "string"})


BROKEN = {
    "short": (b"a,b\n1,2\n3\n4,5\n", r"line 3: expected 2 columns, found 1"),
    "long": (b"a,b\n1,2\n3,4\n4,5,6\n", r"line 4: expected 2 columns, found 3"),
    "quote": (b'a,b\n1,"2\n3,4\n', r"line 2: a quote is not closed"),
    "after_quote": (b'a,b\n1,"2"x\n3,4\n', r"line 2: a quote is not closed, or text follows"),
    "latin": (b"a,b\n1,2\n3,\xe9\n", r"line 3: not UTF-8 text"),
    "latin_header": (b"a,\xe9\n1,2\n", r"line 1: the header is not UTF-8 text"),
    "utf16": ("a,b\n1,2\n".encode("utf-16"), r"line 1: the header is not UTF-8 text"),
    "binary": (bytes(range(256)) * 9, r"line 1: the header is not UTF-8 text"),
    "mixed": (b"a,b\r\n1,2\n3,4\n", r"not CSV as RFC 4180 describes it; are line ends mixed"),
    "empty": (b"", r"line 1: no header; the file is empty"),
    "blank": (b"\n\na,b\n", r"line 1: no header"),
    "doubled": (b"a,b,A\n1,2,3\n", r"line 1: duplicate column names: 'a', 'A'$"),
    "unnamed": (b",b\n1,2\n", r"line 1: column 1 of the header has no name"),
    "header_quote": (b'"a,b\n1,2\n', r"line 1: "),
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("is_compressed", [False, True])
def test_broken_csv(runner: StepRunner, kind: str, *, is_compressed: bool) -> None:
    """Whatever is wrong with a CSV file is one line with the file's name and where it is."""
    content, reason = BROKEN[kind]
    name = f"{kind}.csv.gz" if is_compressed else f"{kind}.csv"
    (runner.folder / name).write_bytes(gzip.compress(content) if is_compressed else content)
    with pytest.raises(ProcessingError, match=f"^{name}: {reason}") as caught:
        runner.run("read", "file.read", path=name)
    assert "\n" not in str(caught.value)
    assert list(runner.store.run_folder("run").rglob("*.*")) == []


def test_quote_open_to_the_end_of_a_large_file(runner: StepRunner) -> None:
    """An open quote that swallows megabytes is told with the line where it opens or near."""
    rows = "".join(f"{number},x\n" for number in range(500_000))
    (runner.folder / "a.csv").write_text(f'a,b\n1,"x\n{rows}')
    with pytest.raises(ProcessingError, match=r"^a\.csv: (line \d+: )?.*quote"):
        runner.run("read", "file.read", path="a.csv")


def test_damaged_gzip(runner: StepRunner) -> None:
    """A truncated, changed or false gzip file is never read as if it were whole."""
    whole = gzip.compress("".join(f"{n},{n * 7919 % 1000}\n" for n in range(20_000)).encode())
    middle = bytearray(whole)
    middle[len(whole) // 2] ^= 0xFF
    checksum = bytearray(whole)
    checksum[-6] ^= 0xFF
    damaged = {"cut": whole[:-9], "middle": middle, "checksum": checksum, "plain": b"a,b\n1,2\n"}
    for name, content in damaged.items():
        (runner.folder / f"{name}.csv.gz").write_bytes(content)
        with pytest.raises(ProcessingError, match=f"^{name}.csv.gz: the gzip file is damaged: "):
            runner.run("read", "file.read", path=f"{name}.csv.gz")


def test_other_broken_files(runner: StepRunner) -> None:
    """Broken JSON lines and Parquet, unknown endings and missing files are one line each."""
    (runner.folder / "a.jsonl").write_text('{"a": 1}\n{"a": 2\n{"a": 3}\n')
    (runner.folder / "list.jsonl").write_text("1\n2\n")
    (runner.folder / "a.parquet").write_bytes(b"PAR1 not really")
    (runner.folder / "a.xls").touch()
    (runner.folder / "a.parquet.gz").touch()
    for name, reason in {
        "a.jsonl": r"^a\.jsonl: Malformed JSON in file .* line 3",
        "list.jsonl": r"^list\.jsonl: ",
        "a.parquet": r"^a\.parquet: not a Parquet file",
        "a.xls": r"format of 'a\.xls' cannot be told",
        "a.parquet.gz": "Parquet compresses itself",
        "no.csv": r"no file 'no\.csv'",
        "/etc/passwd": r"outside of storage\.allowed_roots",
    }.items():
        with pytest.raises(ProcessingError, match=reason) as caught:
            runner.run("read", "file.read", path=name)
        assert "\n" not in str(caught.value)


def test_names_that_look_like_sql(runner: StepRunner) -> None:
    """Quotes in names are only characters, and `key=value` in a path adds no column."""
    (runner.folder / "k=v").mkdir()
    (runner.folder / "k=v" / "it's.csv").write_text("a'b,c'); drop,select\n1,2,3\n")
    table(runner.folder / "k=v" / "a.parquet", "select 1 as a")
    runner.run("csv", "file.read", path="k=v/it's.csv")
    runner.run("parquet", "file.read", path="k=v/a.parquet")
    assert runner.rows("csv") == [{"a'b": "1", "c'); drop": "2", "select": "3"}]
    assert runner.rows("parquet") == [{"a": 1}]


def test_wildcards_in_names_are_refused(runner: StepRunner) -> None:
    """A file is found by a pattern, but what the engine would take for a pattern is refused."""
    for name in ("*.csv", "a?.csv", "[ab].csv"):
        (runner.folder / name).write_text("a\n1\n")
        with pytest.raises(ProcessingError, match=r"may not have any of"):
            runner.run("read", "file.read", path=name.replace("[ab]", "?ab?"))
        (runner.folder / name).unlink()


def test_a_year_fits_in_little_memory(runner: StepRunner) -> None:
    """Rows go through the engine, never through Python: 400,000 of them cost Python nothing."""
    with duckdb.connect() as connection:
        made = connection.sql("select range as a, hash(range) as b from range(400000)")
        made.write_csv(str(runner.folder / "big.csv"), header=True)
    tracemalloc.start()
    try:
        result = runner.run("read", "file.read", path="big.csv")
        runner.run(
            "checked", "data.validate", ("read",), columns={"a": {"type": "integer"}}, key=["a"]
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert result.records_out == 400_000
    assert peak < 8 * 2**20


def test_result_survives_json(runner: StepRunner) -> None:
    """A result is plain JSON, and comes back equal."""
    (runner.folder / "a.csv").write_text("a\n1\n")
    result = runner.run("read", "file.read", path="a.csv")
    assert type(result).model_validate_json(json.dumps(result.model_dump(mode="json"))) == result
