"""Price series for the tests: the shipped oil price, random walks, and ways to compare."""

import csv
import gzip
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import exp

import numpy as np

from datamcp.agent_types.markets.series import Columns, Series, series_of
from datamcp.storage.roots import PACKAGE_ROOT

WTI = PACKAGE_ROOT / "data" / "wti_1986_2018.csv.gz"


@dataclass(frozen=True)
class Walk:
    """A random walk with highs, lows and volumes, a row for each working day."""

    dates: list[date]
    close: list[float]
    high: list[float]
    low: list[float]
    volume: list[float]

    @property
    def series(self) -> Series:
        """The same as a checked series."""
        return series_of(
            Columns(
                dates=self.dates,
                close=self.close,
                high=self.high,
                low=self.low,
                volume=self.volume,
            )
        )


def walk(seed: int, rows: int, *, start: float = 100.0, step: float = 0.02) -> Walk:
    """Return a walk whose prices change by about `step` of themselves each day."""
    chance = random.Random(seed)
    dates = working_days(date(2000, 1, 3), rows)
    close, high, low, volume = [], [], [], []
    price = start
    for _ in range(rows):
        opened, price = price, price * exp(chance.gauss(0, step))
        close.append(price)
        high.append(max(opened, price) * (1 + chance.random() * step))
        low.append(min(opened, price) * (1 - chance.random() * step))
        volume.append(float(chance.randrange(1, 1_000_000)))
    return Walk(dates, close, high, low, volume)


def working_days(first: date, rows: int) -> list[date]:
    """Return as many days as asked for, without weekends."""
    days = (first + timedelta(days=number) for number in range(rows * 7 // 5 + 7))
    return [day for day in days if day.weekday() < 5][:rows]


def wti() -> list[tuple[date, float]]:
    """Return the shipped oil price, the days without a price left out."""
    with gzip.open(WTI, "rt") as file:
        return [
            (datetime.strptime(row["Date"], "%m/%d/%Y").date(), float(row["DCOILWTICO"]))  # noqa: DTZ007  a day
            for row in csv.DictReader(file)
            if row["DCOILWTICO"] != "."
        ]


def wti_series() -> Series:
    """Return the shipped oil price as a checked series."""
    dates, closes = zip(*wti(), strict=True)
    return series_of(Columns(dates=dates, close=closes))


def closes(prices: Sequence[float | None]) -> Series:
    """Return a series of closing prices without dates."""
    return series_of(Columns(close=prices))


def assert_lines_equal(
    got: Sequence[float | None],
    expected: Sequence[float] | np.ndarray,  # type: ignore[type-arg]
    *,
    rel: float = 1e-9,
    scale: float = 0.0,
) -> None:
    """Compare a line with one in which NaN means that there is no value.

    Differences up to `rel` of the value, or of `scale`, are rounding.
    """
    values = np.asarray([np.nan if value is None else value for value in got])
    np.testing.assert_allclose(values, np.asarray(expected), rtol=rel, atol=rel * scale)


def naive(
    values: Sequence[float | None], window: int, summary: Callable[[list[float]], float]
) -> list[float | None]:
    """Return the summary of each window, made anew from its values."""
    found: list[float | None] = []
    for end in range(1, len(values) + 1):
        whole = [value for value in values[max(0, end - window) : end] if value is not None]
        found.append(summary(whole) if len(whole) == window else None)
    return found
