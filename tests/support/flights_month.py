"""Months of flights as files, and the pipeline's tables of one against the oracle."""

import csv
import gzip
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from support.flights_oracle import FlightsOracle, Measures, Record
from support.steps import Row


def write_month(path: Path, flights: list[Record], line_end: str = "\n") -> None:
    """Write flights as the shipped files are written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(flights[0]), lineterminator=line_end)
    writer.writeheader()
    writer.writerows(
        {name: "NA" if value is None else value for name, value in flight.items()}
        for flight in flights
    )
    path.write_bytes(gzip.compress(text.getvalue().encode()))


def assert_equal_to_oracle(rows: Callable[[str], list[Row]], oracle: FlightsOracle) -> None:
    """Compare every number of every branch, to nine digits; `rows` gives the table of a step."""
    weather: dict[str, list[Row]] = {"wind": [], "precipitation": []}
    for row in rows("by_weather"):
        weather[row["factor"]].append(row)
    _assert_rows({"all": oracle.overall()}, {"all": rows("overall")[0]})
    _assert_rows(oracle.by_carrier(), {row["carrier"]: row for row in rows("by_carrier")})
    _assert_rows(oracle.by_hour(), {row["hour"]: row for row in rows("by_hour")})
    _assert_rows(oracle.by_wind(), {row["band"]: row for row in weather["wind"]})
    _assert_rows(oracle.by_precipitation(), {row["band"]: row for row in weather["precipitation"]})


def _assert_rows(expected: Mapping[Any, Measures], got: Mapping[Any, Row]) -> None:
    """Compare the measures of groups; columns that name the group are not looked at."""
    assert got.keys() == expected.keys()
    for group, measures in expected.items():
        for name, value in measures.items():
            wanted = pytest.approx(value, rel=1e-9, abs=0) if isinstance(value, float) else value
            assert got[group][name] == wanted, (group, name)
