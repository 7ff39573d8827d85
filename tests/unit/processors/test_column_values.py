from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from datamcp.errors import ProcessingError
from datamcp.processors.column_values import ColumnValues, Declared, Kind

NOW = datetime(2024, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))
LOCAL = NOW.replace(tzinfo=None)


def seen(*values: Any, declared: Declared | None = None) -> ColumnValues:
    """Return a column that has seen these values."""
    column = ColumnValues("c", declared)
    for value in values:
        column.text(value)
    return column


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ((), Kind.TEXT),
        ((None,), Kind.TEXT),
        ((True, None), Kind.BOOLEAN),
        ((True, 2), Kind.INTEGER),
        ((1, 2**63), Kind.DECIMAL),
        ((1, Decimal("1.5"), True), Kind.DECIMAL),
        ((1, Decimal(1), 1.5), Kind.FLOAT),
        ((date(2024, 1, 1), LOCAL), Kind.TIMESTAMP),
        ((date(2024, 1, 1), LOCAL, NOW), Kind.INSTANT),
        ((1, date(2024, 1, 1)), Kind.TEXT),
        (("a", 1, True), Kind.TEXT),
        ((time(1), time(2)), Kind.TIME),
        ((b"a", bytearray(b"b"), memoryview(b"c")), Kind.BYTES),
        (({"a": 1}, [1]), Kind.TEXT),
        ((timedelta(1),), Kind.DURATION),
    ],
)
def test_the_narrowest_kind_that_holds_all(values: tuple[Any, ...], kind: Kind) -> None:
    """A column's kind holds every value that was seen; text holds whatever is left."""
    assert seen(*values).kind() is kind


def test_bytes_are_nothing_else() -> None:
    """Nothing holds bytes and something else."""
    with pytest.raises(ProcessingError, match="column 'c' holds bytes, integer: no type holds"):
        seen(1, b"a").kind()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        (True, "1"),
        (-5, "-5"),
        (0.1, "0.1"),
        (Decimal("1E+3"), "1000"),
        (Decimal("-0.00001"), "-0.00001"),
        (2**64, "18446744073709551616"),
        (b"\x00\xff", "00ff"),
        (NOW, "2024-01-02T01:04:05+00:00"),
        (LOCAL, "2024-01-02T03:04:05"),
        (time(1, 2, 3, tzinfo=UTC), "01:02:03"),
        (timedelta(days=-1, microseconds=1), "-86399999999"),
        ({"a": "é"}, '{"a": "é"}'),
        ([1, None], "[1, null]"),
    ],
)
def test_texts(value: object, text: str | None) -> None:
    """Every value has a text that loses nothing."""
    assert ColumnValues("c").text(value) == text


@pytest.mark.parametrize(
    ("values", "declared", "expected"),
    [
        ((Decimal("1.50"), Decimal(100)), None, "decimal(38, 2)"),
        ((Decimal("1.5"),), Declared(Kind.DECIMAL, 4), "decimal(38, 4)"),
        ((), Declared(Kind.DECIMAL, 4), "decimal(38, 4)"),
        ((), Declared(Kind.DECIMAL), "decimal(38, 9)"),
        ((1, Decimal("0." + "1" * 19)), None, "decimal(38, 19)"),
        ((1, Decimal("0." + "1" * 20)), None, "double"),
        ((Decimal("NaN"), Decimal(1)), None, "double"),
        ((Decimal("Infinity"),), None, "double"),
        ((Decimal("1E+37"),), None, "decimal(38, 0)"),
        ((Decimal("1E+38"),), None, "double"),
    ],
)
def test_decimals(values: tuple[Any, ...], declared: Declared | None, expected: str) -> None:
    """Decimals are exact as long as 38 digits hold them, else floating point with a warning."""
    column = seen(*values, declared=declared)
    assert column.select("x") == f"cast(x as {expected})"
    assert bool(column.warning()) is (expected == "double")


def test_json_that_was_parsed_is_text_again() -> None:
    """What a driver has parsed is JSON text again, whatever it held."""
    column = ColumnValues("c", Declared(Kind.TEXT, is_json=True))
    assert [column.text(value) for value in ("a", 1, True, [], None)] == [
        '"a"',
        "1",
        "true",
        "[]",
        None,
    ]
    assert column.kind() is Kind.TEXT
