"""Where a series was some time before its last row. Pure."""

from bisect import bisect_right
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta

from datamcp.agent_types.markets.missing import Missing, too_few
from datamcp.agent_types.markets.series import Series

_SLACK = timedelta(days=7)
"""How much older than asked for a row may be: holidays are shorter, and rows of months longer."""

_FREQUENCY_FACTOR = 1.25  # between the rows a year as given and as the dates tell
_MIN_ROWS = 60  # from which the dates can tell


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time by the calendar, and how many of it a year has."""

    name: str
    a_year: float
    days: int = 0
    months: int = 0

    def before(self, day: date) -> date:
        """Return the same day a span earlier, or the last one of that month."""
        months = day.year * 12 + day.month - 1 - self.months
        year, month = divmod(months, 12)
        last = monthrange(year, month + 1)[1]
        moved = day.replace(year=year, month=month + 1, day=min(day.day, last))
        return moved - timedelta(days=self.days)


WEEK = Span("week", 52, days=7)
MONTH = Span("month", 12, months=1)
QUARTER = Span("quarter", 4, months=3)
YEAR = Span("year", 1, months=12)
WEEKS_52 = Span("52 weeks", 1, days=364)


def row_before(series: Series, span: Span, per_year: float) -> int | Missing:
    """Return the last row that is at least a span older than the last one.

    Missing if it is more than a week older than that. Without dates a span is as many rows as
    `per_year` says.
    """
    if series.dates is None:
        return _rows_before(series, span, per_year)
    wanted = span.before(series.dates[-1])
    row = bisect_right(series.dates, wanted) - 1
    if row < 0 or series.dates[row] < wanted - _SLACK:
        return Missing(f"no price in the week up to {wanted}")
    return row


def _rows_before(series: Series, span: Span, per_year: float) -> int | Missing:
    rows = round(per_year / span.a_year)
    if rows == 0:
        return Missing(f"with {per_year:g} rows a year, a row is longer than a {span.name}")
    if len(series) <= rows:
        return too_few(rows + 1, len(series))
    return len(series) - 1 - rows


def frequency_warning(series: Series, per_year: float) -> str | None:
    """Return what to say if the dates tell of another number of rows a year than `per_year`."""
    if series.dates is None or len(series) < _MIN_ROWS:
        return None
    years = (series.dates[-1] - series.dates[0]) / timedelta(days=365.2425)
    told = (len(series) - 1) / years
    if per_year / _FREQUENCY_FACTOR <= told <= per_year * _FREQUENCY_FACTOR:
        return None
    return (
        f"the dates have {told:,.0f} rows a year, but yearly figures are made with {per_year:g}: "
        "set periods_per_year"
    )
