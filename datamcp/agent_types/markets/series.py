"""A series of prices: what callers may give, and the checked columns that all else reads. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, Field, FiniteFloat, Tag

from datamcp.errors import ProcessingError

LARGEST, SMALLEST = 1e15, 1e-15
"""The sizes that a price other than 0 may have: between them no square or product overflows."""

_ROUNDING = 1e-6  # by which a close may leave its bar's range, relative to the price

Column = Sequence[float | None]


class Bar(BaseModel):
    """The prices of one day, or of one instant of finer bars."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    date: date | datetime
    """A day, or an instant in ISO 8601; one without an offset is taken as UTC."""
    close: FiniteFloat | None
    """The last price; a bar without one is left out."""
    open: FiniteFloat | None = None
    """The first price, which nothing uses."""
    high: FiniteFloat | None = None
    """The highest price."""
    low: FiniteFloat | None = None
    """The lowest price."""
    volume: FiniteFloat | None = None
    """How much was traded."""


def _form(value: Any) -> str:
    match value:
        case str():
            return "path"
        case [dict() | Bar(), *_]:
            return "bars"
    return "closes"


Prices = Annotated[
    Annotated[str, Field(min_length=1), Tag("path")]
    | Annotated[list[FiniteFloat | None], Tag("closes")]
    | Annotated[list[Bar], Tag("bars")],
    Discriminator(_form),
]
"""A series as a parameter: the path of a table, closing prices, or bars; oldest first."""


@dataclass(frozen=True, slots=True)
class Columns:
    """A series as it was given, one value for each row; what it lacks is None."""

    close: Column
    dates: Sequence[date | None] | None = None
    high: Column | None = None
    low: Column | None = None
    volume: Column | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """Rows with a price, oldest first; `dates` are days or instants in UTC, each after the last.

    `high` and `low` are both there for every row, or not at all; so is `volume`. `dropped` counts
    the rows that had no price. `warnings` says what was dropped or is not used.
    """

    close: Sequence[float]
    dates: Sequence[date] | None = None
    high: Sequence[float] | None = None
    low: Sequence[float] | None = None
    volume: Sequence[float] | None = None
    dropped: int = 0
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return how many rows have a price."""
        return len(self.close)

    def date_of(self, row: int) -> date | None:
        """Return the date of a row, which is counted from 0; None if the series has no dates."""
        return None if self.dates is None else self.dates[row]

    def named(self, row: int) -> str:
        """Return what to call a row in a message: its date, else its number from 1."""
        return f"row {row + 1}" if self.dates is None else str(self.dates[row])


def columns_of(given: list[float | None] | list[Bar]) -> Columns:
    """Return closing prices or bars as columns."""
    bars = [item for item in given if isinstance(item, Bar)]
    if not bars:
        return Columns(close=[item for item in given if not isinstance(item, Bar)])
    return Columns(
        dates=[bar.date for bar in bars],
        close=[bar.close for bar in bars],
        high=[bar.high for bar in bars],
        low=[bar.low for bar in bars],
        volume=[bar.volume for bar in bars],
    )


def series_of(given: Columns) -> Series:
    """Return the rows that have a price, checked.

    Raises ProcessingError if there are none, if a price is not finite or of an impossible size,
    or if the dates do not rise from row to row; it names the first row at fault.
    """
    rows = [row for row, close in enumerate(given.close) if close is not None]
    if not rows:
        raise ProcessingError(f"no prices: none of {len(given.close)} rows has one")
    dates = None if given.dates is None else _dates(given.dates, rows)
    series = Series(close=[close for close in given.close if close is not None], dates=dates)
    _check_sizes(series)
    return _completed(series, given, rows)


def _dates(given: Sequence[date | None], rows: Sequence[int]) -> Sequence[date]:
    dates = list(_known(given, rows))
    if any(isinstance(one, datetime) for one in dates):
        dates = [_instant(one) for one in dates]
        if all(one.time() == time() for one in dates if isinstance(one, datetime)):
            dates = [one.date() if isinstance(one, datetime) else one for one in dates]
    for place in range(1, len(dates)):
        earlier, later = dates[place - 1], dates[place]
        if earlier == later:
            raise ProcessingError(f"the dates must rise from row to row, but {later} comes twice")
        if earlier > later:
            raise ProcessingError(
                f"the dates must rise from row to row, but {later} comes after {earlier}; sort them"
            )
    return dates


def _known(given: Sequence[date | None], rows: Sequence[int]) -> Iterator[date]:
    for row in rows:
        found = given[row]
        if found is None:
            raise ProcessingError(f"row {row + 1} has a price, but no date")
        yield found


def _instant(given: date) -> datetime:
    """Return a day's beginning, or an instant in UTC without its zone."""
    if not isinstance(given, datetime):
        return datetime.combine(given, time())
    return given if given.tzinfo is None else given.astimezone(UTC).replace(tzinfo=None)


def _whole(column: Column | None, rows: Sequence[int]) -> list[float] | None:
    """Return a column's values of these rows, or None if one of them is missing."""
    if column is None:
        return None
    values = [value for row in rows if (value := column[row]) is not None]
    return values if len(values) == len(rows) else None


def _check_sizes(series: Series) -> None:
    for row, price in enumerate(series.close):
        if price != 0 and not SMALLEST <= abs(price) <= LARGEST:
            raise ProcessingError(
                f"{series.named(row)}: a price must be 0 or of a size from {SMALLEST:g} to "
                f"{LARGEST:g}, got {price:g}; use another unit"
            )


def _completed(series: Series, given: Columns, rows: Sequence[int]) -> Series:
    """Add highs, lows and volumes where every row has them, and say what is left out."""
    dropped = len(given.close) - len(rows)
    warnings = [f"left out {_rows(dropped)} without a price"] if dropped else []
    high, low = _whole(given.high, rows), _whole(given.low, rows)
    if fault := _fault_of_ranges(series, given, rows):
        warnings.append(f"highs and lows are not used: {fault}")
        high = low = None
    volume = _whole(given.volume, rows)
    if fault := _fault_of_volumes(series, given, rows):
        warnings.append(f"volumes are not used: {fault}")
        volume = None
    return replace(
        series, high=high, low=low, volume=volume, dropped=dropped, warnings=tuple(warnings)
    )


def _fault_of_ranges(series: Series, given: Columns, rows: Sequence[int]) -> str | None:
    if not (_has_some(given.high, rows) or _has_some(given.low, rows)):
        return None
    high, low = _whole(given.high, rows), _whole(given.low, rows)
    if high is None or low is None:
        return "some rows lack them"
    for row, close in enumerate(series.close):
        slack = abs(close) * _ROUNDING
        if not -LARGEST <= low[row] <= close + slack:
            return f"{series.named(row)}: low {low[row]:g}, close {close:g}"
        if not close - slack <= high[row] <= LARGEST:
            return f"{series.named(row)}: high {high[row]:g}, close {close:g}"
    return None


def _fault_of_volumes(series: Series, given: Columns, rows: Sequence[int]) -> str | None:
    if not _has_some(given.volume, rows):
        return None
    volume = _whole(given.volume, rows)
    if volume is None:
        return "some rows lack them"
    for row, traded in enumerate(volume):
        if not 0 <= traded <= LARGEST:
            return f"{series.named(row)}: {traded:g} is not from 0 to {LARGEST:g}"
    return None


def _has_some(column: Column | None, rows: Sequence[int]) -> bool:
    return column is not None and any(column[row] is not None for row in rows)


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"
