"""The numbers of the `flights` pipeline, computed without it: plain Python over the same files.

Shares nothing with the pipeline but the files and the meaning of the words: a flight without a
departure time is cancelled; a mean or median is over the flights that have the value; a share is
over the flights that departed; weather is that of the airport of departure in the scheduled hour.
"""

import csv
import gzip
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Record = dict[str, str | None]
Measures = dict[str, Any]

WIND_LIMITS = (
    (5, "below 5 mph"),
    (10, "5 to 10 mph"),
    (15, "10 to 15 mph"),
    (20, "15 to 20 mph"),
    (25, "20 to 25 mph"),
)
FASTEST_WIND = 200  # mph; a faster one is an error of the instrument
LATE = 15  # minutes


def read(path: Path) -> list[Record]:
    """Return the rows of a CSV file; a missing value is None."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        return [
            {name: None if value in {"", "NA"} else value for name, value in row.items()}
            for row in csv.DictReader(file)
        ]


class FlightsOracle:
    """The tables of one month, and what is to be expected of each step."""

    def __init__(self, flights: Iterable[Record], tables: Path) -> None:
        """Take the good flights, and the folder of the other tables."""
        self.flights = list(flights)
        self.airlines = {row["carrier"]: row["name"] for row in read(tables / "airlines.csv")}
        self.airports = {row["faa"] for row in read(tables / "airports.csv.gz")}
        self.planes = {row["tailnum"]: row["seats"] for row in read(tables / "planes.csv.gz")}
        self.weather = {
            (row["origin"], row["time_hour"]): row
            for row in read(tables / "weather_2013.csv.gz")
            if float(row["wind_speed"] or 0) <= FASTEST_WIND
        }

    def overall(self) -> Measures:
        """Return the one row of `overall`."""
        return measures(self.flights) | {
            "unknown_destination": sum(f["dest"] not in self.airports for f in self.flights),
            "unknown_plane": sum(f["tailnum"] not in self.planes for f in self.flights),
            "unknown_weather": sum(self._weather_of(f) is None for f in self.flights),
        }

    def by_carrier(self) -> dict[str, Measures]:
        """Return the rows of `by_carrier`, by carrier."""
        groups = _grouped(self.flights, lambda flight: flight["carrier"])
        return {
            carrier: measures(flights)
            | {"airline": self.airlines[carrier], "mean_seats": self._mean_seats(flights)}
            for carrier, flights in groups.items()
        }

    def by_hour(self) -> dict[int, Measures]:
        """Return the rows of `by_hour`, by hour."""
        groups = _grouped(self.flights, lambda flight: int(flight["hour"] or ""))
        return {hour: measures(flights) for hour, flights in groups.items()}

    def by_wind(self) -> dict[str, Measures]:
        """Return the rows of `by_weather` for wind, by band."""
        return {band: measures(f) for band, f in _grouped(self.flights, self._wind).items()}

    def by_precipitation(self) -> dict[str, Measures]:
        """Return the rows of `by_weather` for precipitation, by band."""
        groups = _grouped(self.flights, self._precipitation)
        return {band: measures(flights) for band, flights in groups.items()}

    def _mean_seats(self, flights: Iterable[Record]) -> float | None:
        seats = [self.planes.get(flight["tailnum"]) for flight in flights]
        return mean([float(count) for count in seats if count is not None])

    def _weather_of(self, flight: Record) -> Record | None:
        return self.weather.get((flight["origin"], flight["time_hour"]))

    def _wind(self, flight: Record) -> str:
        speed = (self._weather_of(flight) or {}).get("wind_speed")
        if speed is None:
            return "unknown"
        return next((band for top, band in WIND_LIMITS if float(speed) < top), "25 mph and more")

    def _precipitation(self, flight: Record) -> str:
        fallen = (self._weather_of(flight) or {}).get("precip")
        if fallen is None:
            return "unknown"
        if float(fallen) == 0:
            return "none"
        return "below 0.1 in" if float(fallen) < 0.1 else "0.1 in and more"


def measures(flights: list[Record]) -> Measures:
    """Return what every group of flights is measured by."""
    departures = [float(f["dep_delay"]) for f in flights if f["dep_delay"] is not None]
    arrivals = [float(f["arr_delay"]) for f in flights if f["arr_delay"] is not None]
    return {
        "flights": len(flights),
        "cancelled": sum(flight["dep_time"] is None for flight in flights),
        "mean_departure_delay": mean(departures),
        "median_departure_delay": statistics.median(departures) if departures else None,
        "mean_arrival_delay": mean(arrivals),
        "share_over_15_min": mean([float(delay > LATE) for delay in departures]),
    }


def mean(values: list[float]) -> float | None:
    """Return the mean, or None of nothing."""
    return statistics.fmean(values) if values else None


def _grouped(flights: Iterable[Record], key: Callable[[Record], Any]) -> dict[Any, list[Record]]:
    groups: dict[Any, list[Record]] = {}
    for flight in flights:
        groups.setdefault(key(flight), []).append(flight)
    return groups
