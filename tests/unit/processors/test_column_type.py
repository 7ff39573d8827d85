from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from math import isfinite
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamcp.processors.column_type import ColumnType, cast

TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)
INTEGERS = st.integers(-(2**63), 2**63 - 1)


Engine = duckdb.DuckDBPyConnection


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """Return one engine for all examples."""
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        yield connection


def value_of(engine: Engine, text: str, column_type: ColumnType) -> Any:
    """Return what the engine makes of a text."""
    query = f"select {cast('t', column_type)} from (select ?::varchar as t)"  # noqa: S608  no input
    row = engine.execute(query, [text]).fetchone()
    assert row is not None
    return row[0]


@given(INTEGERS)
def test_integers_come_back(engine: Engine, number: int) -> None:
    """Every integer of 64 bits is read exactly."""
    assert value_of(engine, str(number), ColumnType.INTEGER) == number


@given(st.integers(-(2**53) + 1, 2**53 - 1))
def test_integers_in_disguise(engine: Engine, number: int) -> None:
    """A whole number written as a float is the integer."""
    assert value_of(engine, f"{number}.0", ColumnType.INTEGER) == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_come_back(engine: Engine, number: float) -> None:
    """Every finite float is read exactly."""
    assert value_of(engine, repr(number), ColumnType.NUMBER) == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_fractions_are_never_rounded_to_integers(engine: Engine, number: float) -> None:
    """A number with a fraction is no integer."""
    value = value_of(engine, repr(number), ColumnType.INTEGER)
    assert value is None or value == number


@given(st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)), st.integers(-12, 14))  # noqa: DTZ001  the zone follows
def test_instants_come_back_in_utc(engine: Engine, local: datetime, hours: int) -> None:
    """An instant with an offset is kept as UTC without a zone."""
    instant = local.replace(tzinfo=timezone(timedelta(hours=hours)))
    expected = instant.astimezone(UTC).replace(tzinfo=None)
    assert value_of(engine, instant.isoformat(), ColumnType.TIMESTAMP) == expected


@given(TEXTS, st.sampled_from(ColumnType))
def test_any_text_has_a_value_or_none(engine: Engine, text: str, column_type: ColumnType) -> None:
    """No text makes the engine fail, and what is no number never becomes one."""
    value = value_of(engine, text, column_type)
    if column_type is ColumnType.STRING:
        assert value == text
    if value is not None and column_type in {ColumnType.INTEGER, ColumnType.NUMBER}:
        assert isfinite(value)
        assert float(text) == pytest.approx(value)
