"""Rows from outside as lines of JSON."""

import io
import json
from decimal import Decimal
from typing import Any

import pytest

from datamcp.errors import ProcessingError
from datamcp.processors.json_rows import RowWriter


def written(items: list[Any]) -> tuple[list[Any], RowWriter]:
    """Return the lines that items become, and who wrote them."""
    file = io.StringIO()
    writer = RowWriter(file)
    for item in items:
        writer.write(item)
    return [json.loads(line) for line in file.getvalue().splitlines()], writer


def test_rows_are_flat() -> None:
    """What is nested is JSON text, and what is no object has one column."""
    lines, writer = written([{"a": {"b": [1, "ü"]}, "c": Decimal("1.10")}, 3, [1, 2]])
    assert lines == [{"a": '{"b":[1,"ü"]}', "c": 1.1}, {"value": 3}, {"value": "[1,2]"}]
    assert (writer.count, list(writer.columns)) == (3, ["a", "c", "value"])


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([{"a": 1}, {"A": 1}], "columns 'a' and 'A': the same in SQL"),
        ([{"a": 1}, {"": 1}], "record 2 has a value without a name"),
        ([{"a": Decimal("1e999")}], "record 1 has a number that is none"),
        ([{"a": [Decimal("1e999")]}], "record 1 has a number that is none"),
        ([{f"c{n}": 1} for n in range(2001)], "more than 2,000 different columns"),
    ],
)
def test_rows_that_no_table_can_have(items: list[Any], message: str) -> None:
    """The first such row is named."""
    with pytest.raises(ProcessingError, match=message):
        written(items)
