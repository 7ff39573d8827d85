"""The values of a database's column as text, and the type that holds all of them. Pure.

A driver gives values of Python; which type a column has is known for certain only after the last
of them. So each is kept as text, and what was seen is noted.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from datamcp.errors import ProcessingError

_MAX_DIGITS = 38  # of a decimal, in DuckDB and Parquet
_INTEGER_DIGITS = 19
_USUAL_SCALE = 9  # of decimals that nothing says more of
_MICROSECOND = timedelta(microseconds=1)


class Kind(StrEnum):
    """What kinds of values there are; `instant` is a timestamp with a zone, kept as UTC."""

    BOOLEAN = "boolean"
    INTEGER = "integer"
    DECIMAL = "decimal"
    FLOAT = "float"
    TEXT = "text"
    DATE = "date"
    TIME = "time"
    TIMESTAMP = "timestamp"
    INSTANT = "instant"
    BYTES = "bytes"
    DURATION = "duration"


@dataclass(frozen=True, slots=True)
class Declared:
    """What a database says of a column: its kind, and of decimals how many digits follow the point.

    With `is_json` the driver has parsed what is kept as text.
    """

    kind: Kind
    scale: int | None = None
    is_json: bool = False


@dataclass(slots=True)
class ColumnValues:
    """One column while it is read."""

    name: str
    declared: Declared | None = None
    kinds: set[Kind] = field(default_factory=set)
    digits: int = 0  # before the point
    scale: int = 0  # behind it
    is_inexact: bool = False  # a decimal that is no number, or has too many digits

    def text(self, value: Any) -> str | None:
        """Return a value as text and note what it was; None stays None."""
        if value is None:
            return None
        if self.declared is not None and self.declared.is_json:
            value = _json(value)
        kind = _KINDS.get(type(value), Kind.TEXT)
        if kind is Kind.TIMESTAMP and value.tzinfo is not None:
            kind = Kind.INSTANT
        elif kind is Kind.INTEGER and not -(2**63) <= value < 2**63:
            kind, value = Kind.DECIMAL, Decimal(value)
        self.kinds.add(kind)
        if kind is Kind.DECIMAL:
            self._note(value)
        return _TEXTS[kind](value)

    def kind(self) -> Kind:
        """Return what holds all values seen, else what is declared; ProcessingError for none."""
        if not self.kinds:
            return self.declared.kind if self.declared else Kind.TEXT
        if len(self.kinds) == 1:
            return next(iter(self.kinds))
        if Kind.BYTES in self.kinds:
            listed = ", ".join(sorted(self.kinds))
            raise ProcessingError(
                f"column {self.name!r} holds {listed}: no type holds all of them; cast it in query"
            )
        return next((kind for kind, held in _HOLDS.items() if self.kinds <= held), Kind.TEXT)

    def select(self, text: str) -> str:
        """Return SQL for the values, from `text`: SQL of their texts."""
        kind = self.kind()
        if kind is Kind.DECIMAL:
            return f"cast({text} as {self._decimal()})"
        return _CASTS[kind].format(text)

    def warning(self) -> str:
        """Tell that decimals had to become floating point; empty if they did not."""
        became = self.kind() is Kind.DECIMAL and self._decimal() == "double"
        return f"{self.name}: decimals of more than 38 digits, or NaN: floating point" * became

    def _note(self, value: Decimal) -> None:
        _, digits, exponent = value.as_tuple()
        if not isinstance(exponent, int):  # NaN, infinity
            self.is_inexact = True
            return
        self.scale = max(self.scale, -exponent)
        self.digits = max(self.digits, len(digits) + exponent)

    def _decimal(self) -> str:
        declared = self.declared
        digits = max(self.digits, _INTEGER_DIGITS if Kind.INTEGER in self.kinds else 0)
        scale = self.scale
        if declared is not None and declared.scale is not None:
            scale = max(scale, declared.scale)
        elif not self.kinds:
            scale = _USUAL_SCALE
        is_exact = not self.is_inexact and digits + scale <= _MAX_DIGITS
        return f"decimal({_MAX_DIGITS}, {scale})" if is_exact else "double"


def _other(value: Any) -> str:
    """Return JSON for mappings and lists, and for the rest what it calls itself."""
    return _json(value) if isinstance(value, dict | list | tuple) else str(value)


def _json(value: Any) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)


_KINDS: Mapping[type, Kind] = {
    bool: Kind.BOOLEAN,
    int: Kind.INTEGER,
    Decimal: Kind.DECIMAL,
    float: Kind.FLOAT,
    str: Kind.TEXT,
    date: Kind.DATE,
    time: Kind.TIME,
    datetime: Kind.TIMESTAMP,
    bytes: Kind.BYTES,
    bytearray: Kind.BYTES,
    memoryview: Kind.BYTES,
    timedelta: Kind.DURATION,
}

_TEXTS: Mapping[Kind, Callable[[Any], str]] = {
    Kind.BOOLEAN: lambda value: "1" if value else "0",
    Kind.INTEGER: str,
    Kind.DECIMAL: lambda value: f"{value:f}",
    Kind.FLOAT: repr,
    Kind.TEXT: lambda value: value if type(value) is str else _other(value),
    Kind.DATE: date.isoformat,
    Kind.TIME: lambda value: value.replace(tzinfo=None).isoformat(),
    Kind.TIMESTAMP: datetime.isoformat,
    Kind.INSTANT: lambda value: value.astimezone(UTC).isoformat(),
    Kind.BYTES: lambda value: bytes(value).hex(),
    Kind.DURATION: lambda value: str(value // _MICROSECOND),
}

_CASTS: Mapping[Kind, str] = {
    Kind.BOOLEAN: "cast({} as boolean)",
    Kind.INTEGER: "cast({} as bigint)",
    Kind.FLOAT: "cast({} as double)",
    Kind.TEXT: "{}",
    Kind.DATE: "cast({} as date)",
    Kind.TIME: "cast({} as time)",
    Kind.TIMESTAMP: "cast({} as timestamp)",
    Kind.INSTANT: "cast({} as timestamptz)",
    Kind.BYTES: "unhex({})",
    Kind.DURATION: "to_microseconds(cast({} as bigint))",
}

_HOLDS: Mapping[Kind, frozenset[Kind]] = {
    Kind.INTEGER: frozenset({Kind.BOOLEAN, Kind.INTEGER}),
    Kind.DECIMAL: frozenset({Kind.BOOLEAN, Kind.INTEGER, Kind.DECIMAL}),
    Kind.FLOAT: frozenset({Kind.BOOLEAN, Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT}),
    Kind.TIMESTAMP: frozenset({Kind.DATE, Kind.TIMESTAMP}),
    Kind.INSTANT: frozenset({Kind.DATE, Kind.TIMESTAMP, Kind.INSTANT}),
}
"""What kind holds others, the narrowest first."""
