from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from pydantic import TypeAdapter, ValidationError

from datamcp.agent_types.markets.series import Bar, Columns, Prices, columns_of, series_of
from datamcp.errors import ProcessingError

DAYS = [date(2020, 1, day) for day in (2, 3, 6)]
ADAPTER: TypeAdapter[Prices] = TypeAdapter(Prices)


def test_rows_without_a_price_are_left_out_and_counted() -> None:
    """So are their dates; what is left has everything."""
    series = series_of(
        Columns(dates=[DAYS[0], None, DAYS[1], DAYS[2]], close=[1.0, None, 2.0, None])
    )
    assert (list(series.dates or ()), series.close, series.dropped) == (DAYS[:2], [1.0, 2.0], 2)
    assert series.warnings == ("left out 2 rows without a price",)


@pytest.mark.parametrize(
    ("dates", "said"),
    [
        (
            [DAYS[0], DAYS[2], DAYS[1]],
            "the dates must rise from row to row, but 2020-01-03 comes after 2020-01-06; sort them",
        ),
        (
            [DAYS[0], DAYS[1], DAYS[1]],
            "the dates must rise from row to row, but 2020-01-03 comes twice",
        ),
        ([DAYS[0], None, DAYS[1]], "row 2 has a price, but no date"),
    ],
)
def test_dates_that_do_not_rise_are_refused_by_name(dates: list[date | None], said: str) -> None:
    """One line says which date, and what to do."""
    with pytest.raises(ProcessingError) as refused:
        series_of(Columns(dates=dates, close=[1.0, 2.0, 3.0]))
    assert str(refused.value) == said


@pytest.mark.parametrize("price", [float("nan"), float("inf"), 1e16, -1e300, 1e-16, -5e-324])
def test_prices_that_no_sum_can_hold_are_refused(price: float) -> None:
    """Neither NaN nor infinity nor a size with which products overflow; the date is named."""
    with pytest.raises(ProcessingError, match="2020-01-03: a price must be 0 or of a size from"):
        series_of(Columns(dates=DAYS, close=[1.0, price, 2.0]))


@pytest.mark.parametrize("closes", [[], [None, None]])
def test_no_price_at_all_is_an_error(closes: list[float | None]) -> None:
    """It says how many rows there were."""
    with pytest.raises(ProcessingError, match=f"none of {len(closes)} rows"):
        series_of(columns_of(closes))


def test_instants_are_kept_in_utc() -> None:
    """Whatever their offset; days among them begin at midnight, and midnights alone are days."""
    east = timezone(timedelta(hours=2))
    instants = [DAYS[0], datetime(2020, 1, 2, 10, tzinfo=east), datetime(2020, 1, 2, 9, tzinfo=UTC)]
    series = series_of(Columns(dates=instants, close=[1.0, 2.0, 3.0]))
    naive = [datetime(2020, 1, 2, hour) for hour in (0, 8, 9)]  # noqa: DTZ001  UTC, as said
    assert series.dates == naive
    midnights = [datetime(2020, 1, day, tzinfo=UTC) for day in (2, 3, 6)]
    assert series_of(Columns(dates=midnights, close=[1.0, 2.0, 3.0])).dates == DAYS


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"high": [2.0, None, 4.0], "low": [1.0, 2.0, 3.0]}, "highs and lows are not used: some"),
        ({"high": [2.0, 3.0, 4.0]}, "highs and lows are not used: some rows lack them"),
        (
            {"high": [2.0, 3.0, 4.0], "low": [1.0, 2.5, 3.0]},
            "highs and lows are not used: 2020-01-03: low 2.5, close 2",
        ),
        (
            {"high": [2.0, 1.5, 4.0], "low": [1.0, 1.0, 3.0]},
            "highs and lows are not used: 2020-01-03: high 1.5, close 2",
        ),
        ({"high": [2.0, 3.0, 1e300], "low": [1.0, 2.0, 3.0]}, "highs and lows are not used: 2020"),
        ({"volume": [1.0, None, 1.0]}, "volumes are not used: some rows lack them"),
        ({"volume": [1.0, -1.0, 1.0]}, "volumes are not used: 2020-01-03: -1 is not from 0 to"),
    ],
)
def test_columns_that_contradict_the_closes_are_not_used(
    columns: dict[str, list[float | None]], said: str
) -> None:
    """A warning names the first row at fault; the closes are used nevertheless."""
    series = series_of(Columns(dates=DAYS, close=[1.0, 2.0, 3.0], **columns))
    assert (series.high, series.low, series.volume) == (None, None, None)
    (warning,) = series.warnings
    assert warning.startswith(said)


def test_ranges_may_be_off_by_rounding() -> None:
    """Adjusted prices are, in the last digits that their tables have."""
    series = series_of(
        Columns(dates=DAYS, close=[1.0, 2.0, 3.0], high=[1.0, 1.9999999, 3.0], low=[1, 1, 3])
    )
    assert series.high == [1.0, 1.9999999, 3.0]
    assert series.warnings == ()


def test_what_callers_may_give() -> None:
    """A path, closing prices or bars, told apart by their form."""
    assert ADAPTER.validate_json('"data/x.csv"') == "data/x.csv"
    assert ADAPTER.validate_json("[1, null, 2.5]", strict=True) == [1.0, None, 2.5]
    bars = '[{"date": "2020-01-02", "close": 1, "open": 2, "high": 3, "low": 0.5, "volume": 9}]'
    read = ADAPTER.validate_json(bars, strict=True)
    assert read == [Bar(date=DAYS[0], close=1, open=2, high=3, low=0.5, volume=9)]
    assert isinstance(read, list)
    given = columns_of(read)
    assert given == Columns(dates=[DAYS[0]], close=[1], high=[3], low=[0.5], volume=[9])


@pytest.mark.parametrize(
    "text",
    ["[1, true]", '["1"]', "[NaN]", "[Infinity]", '[{"close": 1}]', "7", '""',
     '[{"date": "2020-01-02", "close": 1, "hihg": 2}]', '[{"date": "2020-13-02", "close": 1}]',
     '[{"date": "2020-01-02", "close": 1}, 2]', '[{"date": "2020-01-02", "close": NaN}]'],
)  # fmt: skip
def test_what_callers_may_not_give(text: str) -> None:
    """Numbers that are none, dates that are none, keys that nothing reads."""
    with pytest.raises(ValidationError):
        ADAPTER.validate_json(text, strict=True)
