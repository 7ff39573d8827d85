from pathlib import Path
from typing import Any

import pytest
from support.steps import StepRunner, read_parquet

from datamcp.errors import ProcessingError
from datamcp.processors.processor import Output


def read(runner: StepRunner, step: str, text: str) -> None:
    """Ingest a small CSV text as a step's output."""
    (runner.folder / f"{step}.csv").write_text(text)
    runner.run(step, "file.read", path=f"{step}.csv")


@pytest.mark.parametrize(
    ("rules", "good", "bad"),
    [
        ({"type": "integer"}, {"1": 1, " -2 ": -2, "3.0": 3, "1e3": 1000, "+4": 4}, ["x", "1.5"]),
        ({"type": "integer"}, {"9223372036854775807": 2**63 - 1}, ["9223372036854775808", "1_0"]),
        ({"type": "integer"}, {}, ["0x10", "nan", "inf", "--1", "1 2", "", "1e300"]),
        (
            {"type": "number"},
            {"1": 1.0, ".5": 0.5, "-1.5e-3": -0.0015},
            ["x", "nan", "inf", "1e999"],
        ),
        ({"type": "number"}, {"5.": 5.0}, ["1,5", "1_0", "0x1", "e5", "."]),
        ({"type": "boolean"}, {"true": True, "0": False, "F": False}, ["maybe", "2"]),
        ({"type": "string"}, {"x": "x", " ": " "}, []),
        ({"type": "integer", "minimum": 0, "maximum": 9}, {"0": 0, "9": 9}, ["-1", "10"]),
        ({"type": "number", "minimum": 0.5}, {"0.5": 0.5}, ["0.49"]),
        ({"pattern": "[A-Z]{3}"}, {"JFK": "JFK"}, ["jfk", "JFKX", ""]),
        ({"values": ["a", "b'c"]}, {"a": "a", "b'c": "b'c"}, ["c"]),
        ({"type": "integer", "values": [1, 2]}, {"1": 1, "2.0": 2}, ["3"]),
        ({"type": "boolean", "values": [True]}, {"true": True}, ["false"]),
        ({"values": []}, {}, ["x"]),
    ],
)
def test_rules(
    runner: StepRunner, rules: dict[str, Any], good: dict[str, Any], bad: list[str]
) -> None:
    """Good values are kept and cast; bad ones cost their row; a missing value is neither."""
    texts = [*good, *bad]
    read(runner, "raw", "n,a\n" + "".join(f'{n},"{text}"\n' for n, text in enumerate(texts)))
    (runner.folder / "raw.csv").write_text(
        "n,a\n" + "".join(f'{n},"{text}"\n' for n, text in enumerate(texts)) + "NA,NA\n"
    )
    runner.run("raw", "file.read", path="raw.csv", null_values=["NA"])
    result = runner.run("ok", "data.validate", ("raw",), columns={"a": rules})
    assert [row["a"] for row in runner.rows("ok")] == [*good.values(), None]
    assert [type(row["a"]) for row in runner.rows("ok")][:-1] == [type(v) for v in good.values()]
    assert [row["value"] for row in runner.rejects("ok")] == bad
    assert [row["row"] for row in runner.rejects("ok")] == list(
        range(len(good) + 1, len(texts) + 1)
    )
    assert result.records_in == len(texts) + 1
    assert result.records_out == result.output.records_out == len(good) + 1
    assert result.records_rejected == len(bad)


def test_timestamps_and_dates(runner: StepRunner) -> None:
    """An instant is kept in UTC, whatever its offset; a date is a date only."""
    instants = [
        "2013-01-01T10:00:00Z",
        "2013-01-01 05:00:00-05:00",
        "2013-01-01T10:00",
        "2013-01-01",
    ]
    wrong = ["2013-02-30T10:00:00Z", "10:00", "infinity", "epoch", "yesterday"]
    read(runner, "raw", "a\n" + "\n".join(instants + wrong) + "\n")
    limits = {"type": "timestamp", "minimum": "2013-01-01T00:00:00Z"}
    runner.run("ok", "data.validate", ("raw",), columns={"a": limits})
    assert [row["a"].isoformat() for row in runner.rows("ok")] == [
        *["2013-01-01T10:00:00"] * 3,
        "2013-01-01T00:00:00",
    ]
    assert [row["value"] for row in runner.rejects("ok")] == wrong
    dates = {"type": "date", "maximum": "2013-01-01"}
    runner.run("dates", "data.validate", ("raw",), columns={"a": dates})
    assert [row["a"].isoformat() for row in runner.rows("dates")] == ["2013-01-01"]


def test_every_broken_rule_of_a_row_is_told_and_the_row_counted_once(runner: StepRunner) -> None:
    """Rejects hold one entry per broken rule; counts and warning tell rows."""
    read(runner, "raw", "a,b\nx,\n-1,y\n-5,\n1,ok\n")
    columns = {"a": {"type": "integer", "minimum": 0}, "b": {"required": True}}
    result = runner.run("ok", "data.validate", ("raw",), columns=columns)
    assert [tuple(row.values()) for row in runner.rejects("ok")] == [
        (1, "a", "type", "x"),
        (1, "b", "required", None),
        (2, "a", "minimum", "-1"),
        (3, "a", "minimum", "-5"),
        (3, "b", "required", None),
    ]
    assert result.records_rejected == 3
    assert result.warnings == (
        "3 rows set aside: a below 0 (2), b empty (2), a not of type integer (1)",
    )
    assert runner.rows("ok") == [{"a": 1, "b": "ok"}]


def test_key_keeps_the_first_good_row(runner: StepRunner) -> None:
    """Of equal keys the first good row stays, compared by value; an empty key is no key."""
    read(runner, "raw", "k,l,v\n1,a,bad\n1,a,1\n1.0,a,2\n1,b,3\n,a,4\n2,a,5\n1,a,6\n")
    columns = {"k": {"type": "integer"}, "v": {"type": "integer"}}
    result = runner.run("ok", "data.validate", ("raw",), columns=columns, key=["k", "l"])
    assert [row["v"] for row in runner.rows("ok")] == [1, 3, 5]
    assert [tuple(row.values()) for row in runner.rejects("ok")] == [
        (1, "v", "type", "bad"),
        (3, "k, l", "unique", "1.0, a"),
        (5, "k", "required", None),
        (7, "k, l", "unique", "1, a"),
    ]
    assert "k, l not unique (2)" in result.warnings[0]


def test_references(runner: StepRunner) -> None:
    """A value must occur in the other step's column; an empty one, there or here, is nothing."""
    read(runner, "raw", "c,n\nAA,1\nZZ,2\n,3\n")
    read(runner, "known.list", 'code.x\nAA\n""\nBB\n')
    result = runner.run(
        "ok", "data.validate", ("raw", "known.list"), references={"c": "known.list.code.x"}
    )
    assert [row["n"] for row in runner.rows("ok")] == ["1", "3"]
    assert result.warnings == ("1 row set aside: c not in known.list.code.x (1)",)


def test_good_rows_keep_their_order_and_other_columns(runner: StepRunner) -> None:
    """Rows stay in the input's order, and columns without rules pass untouched."""
    lines = "".join(f"{(n * 7919) % 30011},{'x' if n % 10 == 0 else n}\n" for n in range(30_000))
    read(runner, "raw", "other,n\n" + lines)
    runner.run("ok", "data.validate", ("raw",), columns={"n": {"type": "integer"}})
    kept = [n for n in range(30_000) if n % 10]
    assert [row["n"] for row in runner.rows("ok")] == kept
    assert [row["other"] for row in runner.rows("ok")] == [str((n * 7919) % 30011) for n in kept]


@pytest.mark.parametrize(
    ("limit", "is_fatal"),
    [(None, False), (2, False), (1, True), (0, True), (0.5, False), (0.4, True)],
)
def test_max_rejected(runner: StepRunner, limit: float | None, *, is_fatal: bool) -> None:
    """Above the limit, a count or a fraction, the step fails, and the rejects can be read."""
    read(runner, "raw", "a\n1\nx\n2\ny\n")
    arguments = {"columns": {"a": {"type": "integer"}}, "max_rejected": limit}
    if not is_fatal:
        assert runner.run("ok", "data.validate", ("raw",), **arguments).records_rejected == 2
        return
    with pytest.raises(
        ProcessingError, match=f"^2 rows set aside.*max_rejected = {limit}"
    ) as caught:
        runner.run("ok", "data.validate", ("raw",), **arguments)
    workspace = runner.store.workspace("run", "ok", 1)
    assert str(workspace.path_of("rejects.parquet")) in str(caught.value)
    assert len(read_parquet(workspace.path_of("rejects.parquet"))) == 2
    assert [file.name for file in workspace.folder.iterdir()] == ["rejects.parquet"]


def test_empty_input_and_no_rules(runner: StepRunner) -> None:
    """No rows are no bad rows, and no rules keep every row."""
    read(runner, "raw", "a,b\n")
    rules = {"a": {"type": "integer", "required": True}}
    assert (
        runner.run("ok", "data.validate", ("raw",), columns=rules, max_rejected=0.0).warnings == ()
    )
    read(runner, "raw", "a,b\n1,2\n")
    runner.run("ok", "data.validate", ("raw",))
    assert runner.rows("ok") == [{"a": "1", "b": "2"}]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"columns": {"z": {"required": True}}}, r"step 'raw' has no column 'z'; it has a, b"),
        ({"columns": {"z": {}}}, "no column 'z'"),
        ({"key": ["a", "y"]}, "no column 'y'"),
        ({"references": {"a": "nope.a"}, "input": "raw"}, r"references\.a: 'nope' is not an input"),
        ({"references": {"a": "other.z"}}, r"references\.a: step 'other' has no column 'z'"),
        ({"input": "nope"}, "'nope' is not an input"),
        ({}, "input: say which step to check; raw, other could be meant"),
        (
            {"input": "raw", "columns": {"a": {"minimum": 1}}},
            r"columns\.a: minimum 1 does not fit type string",
        ),
        (
            {"input": "raw", "columns": {"a": {"type": "integer", "minimum": 2, "maximum": 1}}},
            "minimum 2 is above maximum 1",
        ),
        (
            {"input": "raw", "columns": {"a": {"type": "date", "maximum": "soon"}}},
            "'soon' does not",
        ),
        (
            {"input": "raw", "columns": {"a": {"type": "integer", "values": ["x"]}}},
            "values .'x'. do",
        ),
        ({"input": "raw", "columns": {"a": {"pattern": "("}}}, "is not a regular expression"),
        ({"input": "raw", "columns": {"a": {"pattern": "(?=x)"}}}, "invalid perl operator"),
    ],
)
def test_what_cannot_be_checked(runner: StepRunner, arguments: dict[str, Any], reason: str) -> None:
    """Missing columns and inputs, and rules that make no sense, fail with one line."""
    read(runner, "raw", "a,b\n1,2\n")
    read(runner, "other", "a\n1\n")
    steps = ("raw", "other") if arguments.keys() <= {"references", "input"} else ("raw",)
    if "input" in arguments and "columns" in arguments:
        steps = ("raw", "other")
    with pytest.raises(ProcessingError, match=reason) as caught:
        runner.run("ok", "data.validate", steps, **arguments)
    assert "\n" not in str(caught.value)


def test_input_without_a_table(runner: StepRunner) -> None:
    """A value, a vanished file and a store that is not local are told by step."""
    read(runner, "raw", "a\n1\n")
    done = runner.results["raw"]
    for output, reason in (
        (Output(value=1), "step 'raw' has no table to read"),
        (Output(path="/no/such.parquet"), "the table of step 'raw' is gone"),
        (Output(path="s3://bucket/x.parquet"), "the table of step 'raw' cannot be read"),
    ):
        runner.results["raw"] = done.model_copy(update={"output": output})
        with pytest.raises(ProcessingError, match=reason):
            runner.run("ok", "data.validate", ("raw",))


def test_file_url_is_read(runner: StepRunner) -> None:
    """An output may refer to its table by a file URL."""
    read(runner, "raw", "a\n1\n")
    done = runner.results["raw"]
    output = Output(path=Path(done.output.path or "").as_uri())
    runner.results["raw"] = done.model_copy(update={"output": output})
    assert runner.run("ok", "data.validate", ("raw",)).records_out == 1
