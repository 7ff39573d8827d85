"""The shipped documents: every price that they state is that of the shipped series."""

import csv
import gzip
import re
from datetime import date, datetime
from functools import cache
from statistics import mean

import pytest

from datamcp.storage.roots import PACKAGE_ROOT

_FOLDER = PACKAGE_ROOT / "data" / "documents"
_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_ON_A_DAY = re.compile(rf"(\d+\.\d\d) dollars on (\d{{1,2}}) ({_MONTHS}) (\d{{4}})")
_IN_A_YEAR = re.compile(r"(\d+\.\d\d) dollars in (\d{4})")
_PRICE = re.compile(r"\d+\.\d\d dollars?")

_FALLS = [  # from, to, per cent
    ("1986-07-21", "1986-07-22", -17),
    ("1990-08-03", "1990-08-06", 21),
    ("1991-01-16", "1991-01-17", -33),
    ("2008-09-19", "2008-09-22", 18),
    ("2008-07-03", "2008-12-23", -79),
    ("2014-06-20", "2016-02-11", -76),
    ("2018-10-03", "2018-12-27", -42),
    ("2008-07-03", "2016-02-11", -82),
]
_FIRST_ABOVE = [
    (30, "1990-08-22"),
    (50, "2004-10-01"),
    (70, "2006-04-17"),
    (80, "2007-09-13"),
    (100, "2008-02-20"),
]
_LOWEST_OF = ["1998-12-10", "2009-02-12", "2011-10-04", "2017-06-21", "2018-12-27", "2001-11-15"]
_HIGHEST_OF = ["2000-09-20", "2005-08-30", "2009-10-21", "2011-04-29", "2014-06-20", "1997-01-08"]


@cache
def prices() -> dict[date, float]:
    """Return the shipped series, without the days that have no price."""
    with gzip.open(PACKAGE_ROOT / "data" / "wti_1986_2018.csv.gz", "rt", newline="") as file:
        return {
            datetime.strptime(day, "%m/%d/%Y").date(): float(price)  # noqa: DTZ007  a day
            for day, price in list(csv.reader(file))[1:]
            if price not in {"", "."}
        }


def price(day: str) -> float:
    """Return the price of a day."""
    return prices()[date.fromisoformat(day)]


def of_year(year: int) -> dict[date, float]:
    """Return the prices of a year."""
    return {day: price for day, price in prices().items() if day.year == year}


def texts() -> dict[str, str]:
    """Return the documents by name, each in one line."""
    return {path.name: " ".join(path.read_text().split()) for path in _FOLDER.glob("*.md")}


@pytest.mark.parametrize("name", sorted(path.name for path in _FOLDER.iterdir()))
def test_every_price_is_that_of_the_series(name: str) -> None:
    """A price stands with its day, or as the mean of a year, and is the one of the series."""
    text = texts()[name]
    days = _ON_A_DAY.findall(text)
    years = _IN_A_YEAR.findall(text)
    for stated, day, month, year in days:
        when = datetime.strptime(f"{day} {month} {year}", "%d %B %Y").date()  # noqa: DTZ007  a day
        assert prices().get(when) == float(stated), f"{stated} on {when}"
    for stated, year in years:
        assert round(mean(of_year(int(year)).values()), 2) == float(stated), year
    assert len(_PRICE.findall(text)) == len(days) + len(years)


@pytest.mark.parametrize(("first", "last", "change"), _FALLS)
def test_stated_changes_are_those_of_the_series(first: str, last: str, change: int) -> None:
    """What the documents say in per cent is what the prices of the two days give."""
    assert round(100 * (price(last) / price(first) - 1)) == change


def test_stated_days_in_a_row_are_so() -> None:
    """Where a change is that of one day, no price lies between the two."""
    days = sorted(prices())
    for first, last, _ in _FALLS[:4]:
        assert days.index(date.fromisoformat(last)) == days.index(date.fromisoformat(first)) + 1


def test_stated_records_are_those_of_the_series() -> None:
    """The highest, the lowest, the largest loss of a day, and the first above a round number."""
    series = prices()
    days = sorted(series)
    assert min(series, key=series.__getitem__) == date(1986, 3, 31)
    assert max(series, key=series.__getitem__) == date(2008, 7, 3)
    assert (days[0], days[-1]) == (date(1986, 1, 2), date(2019, 1, 3))
    loss = min(range(1, len(days)), key=lambda i: series[days[i]] / series[days[i - 1]])
    assert days[loss] == date(1991, 1, 17)
    for level, first in _FIRST_ABOVE:
        assert min(day for day in days if series[day] > level) == date.fromisoformat(first)
    means = {year: mean(of_year(year).values()) for year in range(1986, 2019)}
    assert min(means, key=means.__getitem__) == 1998
    assert means[2018] > max(means[year] for year in (2015, 2016, 2017))


def test_stated_lows_and_highs_of_years_are_so() -> None:
    """What is called the low or the high of a year is that."""
    for day in map(date.fromisoformat, _LOWEST_OF):
        assert min(of_year(day.year).items(), key=lambda one: one[1])[0] == day
    for day in map(date.fromisoformat, _HIGHEST_OF):
        assert max(of_year(day.year).items(), key=lambda one: one[1])[0] == day
    since_the_war = [
        price for day, price in prices().items() if date(1991, 1, 17) < day < date(2000, 9, 20)
    ]
    assert max(since_the_war) < price("2000-09-20")
    assert price("2000-09-20") > 3 * price("1999-02-16")


def test_there_are_enough_documents_of_the_right_size() -> None:
    """Ten to fourteen documents of 200 to 500 words, each with a title."""
    found = texts()
    assert 10 <= len(found) <= 14
    assert all(200 <= len(text.split()) <= 500 for text in found.values())
    assert all(text.startswith("# ") for text in found.values())
