"""A CSV file of flights, as large as is asked for, and what has to come out of it."""

import csv
import gzip
import io
from collections import defaultdict
from dataclasses import dataclass
from importlib.resources import files
from math import isclose
from pathlib import Path

from benchmarks.tally import WrongResultError

MONTH = "flights_2013_01.csv.gz"
NULLS = ("", "NA")
SQL = "select carrier, count(*) flights, avg(dep_delay) delay from {table} group by 1 order by 1"
"""The aggregate; `{table}` is the table of all rows."""

INTEGERS = frozenset(
    [
        "year",
        "month",
        "day",
        "dep_time",
        "sched_dep_time",
        "dep_delay",
        "arr_time",
        "sched_arr_time",
        "arr_delay",
        "flight",
        "air_time",
        "distance",
        "hour",
        "minute",
    ]
)
"""The columns of whole numbers; all others are text."""

Row = tuple[str, int, float]
"""A carrier, its flights, and their mean delay in minutes."""


@dataclass(frozen=True, slots=True)
class Input:
    """A CSV file, and the aggregate of its rows."""

    path: Path
    columns: tuple[str, ...]
    rows: int
    expected: tuple[Row, ...]

    @property
    def size(self) -> int:
        """Return its bytes."""
        return self.path.stat().st_size

    def check(self, side: str, rows: int, found: list[Row]) -> None:
        """Raise WrongResultError unless so many rows with this aggregate came out."""
        is_right = (
            rows == self.rows
            and len(found) == len(self.expected)
            and all(
                got[:2] == want[:2] and isclose(got[2], want[2])
                for got, want in zip(found, self.expected, strict=True)
            )
        )
        if not is_right:
            raise WrongResultError(f"{side}: {rows} rows, {found[:2]}, and not {self.expected[:2]}")


def make_input(folder: Path, name: str, size: int) -> Input:
    """Write the shipped month so often that the file has at least so many bytes."""
    packed = files("datamcp.data").joinpath(MONTH).read_bytes()
    head, _, body = gzip.decompress(packed).partition(b"\n")
    times = max(1, -(-size // len(body)))
    path = folder / name
    with path.open("wb") as file:
        file.write(head + b"\n")
        for _ in range(times):
            file.write(body)
    columns = tuple(head.decode().rstrip("\r").split(","))
    return Input(path, columns, body.count(b"\n") * times, _aggregate(columns, body, times))


def _aggregate(columns: tuple[str, ...], body: bytes, times: int) -> tuple[Row, ...]:
    carrier, delay = columns.index("carrier"), columns.index("dep_delay")
    counts: defaultdict[str, int] = defaultdict(int)
    delays: defaultdict[str, list[float]] = defaultdict(list)
    for row in csv.reader(io.StringIO(body.decode())):
        counts[row[carrier]] += 1
        if row[delay] not in NULLS:
            delays[row[carrier]].append(float(row[delay]))
    return tuple(
        (name, counts[name] * times, sum(delays[name]) / len(delays[name]))
        for name in sorted(counts)
    )
