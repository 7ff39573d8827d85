"""The flights pipeline's numbers, against an independent computation over the same files."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.flights_month import assert_equal_to_oracle, write_month
from support.flights_oracle import FlightsOracle, Record, read
from support.steps import Row, StepRunner, read_parquet

from datamcp.storage.roots import PACKAGE_ROOT

DATA = PACKAGE_ROOT / "data"
JANUARY = DATA / "flights_2013_01.csv.gz"

Damage = Callable[[Record], Record]


@pytest.fixture(scope="module")
def january(tmp_path_factory: pytest.TempPathFactory) -> StepRunner:
    """Return the pipeline after its run on the shipped month."""
    runner = StepRunner(tmp_path_factory.mktemp("january"))
    runner.run_pipeline("flights", {})
    return runner


def test_real_month_equals_oracle(january: StepRunner) -> None:
    """Every number of every step is what plain Python computes from the shipped files."""
    assert_equal_to_oracle(january.rows, FlightsOracle(read(JANUARY), DATA))


def test_summary_is_the_tidy_union(january: StepRunner) -> None:
    """The summary holds every group once, with the measures of its branch."""
    summary = {(row["grouping"], row["label"]): row for row in january.rows("summary")}
    branches: dict[tuple[str, str], Row] = {("all", "all flights"): january.rows("overall")[0]}
    branches |= {("carrier", row["airline"]): row for row in january.rows("by_carrier")}
    branches |= {("hour", f"{row['hour']:02}:00"): row for row in january.rows("by_hour")}
    branches |= {(row["factor"], row["band"]): row for row in january.rows("by_weather")}
    assert summary.keys() == branches.keys()
    assert len(january.rows("summary")) == len(summary)
    total = january.rows("overall")[0]["flights"]
    for key, row in summary.items():
        shared = row.keys() & branches[key].keys() - {"position"}
        assert {name: row[name] for name in shared} == {
            name: branches[key][name] for name in shared
        }
        assert row["share_of_flights"] == row["flights"] / total


def test_saved_file_is_the_summary(january: StepRunner) -> None:
    """The Parquet file that a user takes away has the summary's rows, in order."""
    saved = january.results["save"].output
    assert saved.path is not None
    assert Path(saved.path).name == "flights_2013_01_delays.parquet"
    assert read_parquet(saved.path) == january.rows("summary")


def test_real_data_is_kept_but_for_one_impossible_wind(january: StepRunner) -> None:
    """Cancelled flights and unknown planes and destinations are no bad rows; 1,048 mph is one."""
    results = january.results
    assert results["flights"].records_rejected == 0
    assert results["flights"].records_out == 27_004
    assert results["weather"].warnings == ("1 row set aside: wind_speed above 200 (1)",)
    assert [row["value"] for row in january.rejects("weather")] == ["1048.36058"]


def test_damaged_rows_are_set_aside(tmp_path: Path) -> None:
    """Each kind of bad row is counted under its rule, and the rest gives the oracle's numbers."""
    flights = read(JANUARY)
    damaged = list(flights)
    for index, (damage, _) in enumerate(DAMAGES):
        damaged[index * 100] = damage(flights[index * 100])
    damaged.append(flights[5])  # the same flight twice: the first one stays
    write_month(tmp_path / "flights_2013_01.csv.gz", damaged)

    runner = StepRunner(tmp_path)
    runner.run_pipeline("flights", {"data": str(tmp_path)})

    rejects = runner.rejects("flights")
    found = {(row["row"], row["column"], row["rule"]) for row in rejects}
    expected = {(i * 100 + 1, *broken) for i, (_, broken) in enumerate(DAMAGES)}
    key = "time_hour, carrier, flight, origin, sched_dep_time"
    assert found == expected | {(len(damaged), key, "unique")}
    assert runner.results["flights"].records_rejected == len(DAMAGES) + 1
    bad = {index * 100 for index in range(len(DAMAGES))}
    good = [flight for index, flight in enumerate(flights) if index not in bad]
    assert_equal_to_oracle(runner.rows, FlightsOracle(good, DATA))


def test_other_month_without_most_values(tmp_path: Path) -> None:
    """Another month, other number formats, no weather, no delays at all: it still works."""
    shifted = [in_june(flight) for flight in read(JANUARY)[:300]]
    write_month(tmp_path / "june" / "flights_2013_06.csv.gz", shifted, line_end="\r\n")
    runner = StepRunner(tmp_path)
    runner.run_pipeline("flights", {"month": "2013_06", "data": str(tmp_path / "june")})

    plain = [
        flight | {"distance": None, "flight": str(int(float(flight["flight"] or "")))}
        for flight in shifted
    ]
    assert runner.results["flights"].records_rejected == 0
    assert runner.rows("overall")[0]["mean_departure_delay"] is None
    assert_equal_to_oracle(runner.rows, FlightsOracle(plain, DATA))


def test_clock_changes_keep_hours_apart(tmp_path: Path) -> None:
    """On the day when the local hour 1 comes twice, weather is joined by the instant."""
    flights = read(JANUARY)[:4]
    instants = ["2013-11-03T05:00:00Z", "2013-11-03T06:00:00Z", "2013-11-03T07:00:00Z"]
    shifted = [
        flight | {"month": "11", "day": "3", "hour": "1", "time_hour": instant, "origin": "JFK"}
        for flight, instant in zip(flights, instants, strict=False)
    ]
    write_month(tmp_path / "flights_2013_11.csv.gz", shifted)
    runner = StepRunner(tmp_path)
    runner.run_pipeline("flights", {"month": "2013_11", "data": str(tmp_path)})
    assert runner.rows("overall")[0]["flights"] == len(shifted)
    assert_equal_to_oracle(runner.rows, FlightsOracle(shifted, DATA))


def changed(**values: str | None) -> Damage:
    """Return the damage that puts these values into a row."""
    return lambda row: row | values


DAMAGES: list[tuple[Damage, tuple[str, str]]] = [
    (changed(dep_delay="late"), ("dep_delay", "type")),
    (changed(dep_delay="1.5"), ("dep_delay", "type")),
    (changed(day="32"), ("day", "maximum")),
    (changed(hour="-1"), ("hour", "minimum")),
    (changed(month=None), ("month", "required")),
    (changed(time_hour="2013-01-40T10:00:00Z"), ("time_hour", "type")),
    (changed(time_hour=None), ("time_hour", "required")),
    (changed(carrier="ZZ"), ("carrier", "reference")),
    (changed(carrier=None), ("carrier", "required")),
    (changed(origin="XXX"), ("origin", "reference")),
    (changed(dest="Houston"), ("dest", "pattern")),
    (changed(dest=None), ("dest", "required")),
    (changed(distance="0"), ("distance", "minimum")),
    (changed(air_time="99999"), ("air_time", "maximum")),
    (changed(flight="UA1"), ("flight", "type")),
    (changed(arr_delay="99999999999999999999"), ("arr_delay", "type")),
    (changed(minute="0x10"), ("minute", "type")),
]


def in_june(flight: Record) -> Record:
    """Return the flight 151 days later, cancelled, written as other programs write numbers."""
    instant = datetime.fromisoformat(flight["time_hour"] or "") + timedelta(days=151)
    gone = dict.fromkeys(("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "tailnum"))
    return (
        flight
        | gone
        | {
            "month": "6",
            "flight": f"{flight['flight']}.0",
            "distance": "1e3",
            "time_hour": instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
    )
