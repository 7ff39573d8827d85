import gzip
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from support.brokers import RedisServer
from support.flights_month import assert_equal_to_oracle, write_month
from support.flights_oracle import FlightsOracle, Record, read
from support.shell import PROGRAMS, Ran, Shell, shell
from support.source import REPOSITORY
from support.steps import read_parquet

from datamcp.storage.roots import PACKAGE_ROOT

DATA = PACKAGE_ROOT / "data"
FLIGHTS = REPOSITORY / "config" / "pipelines" / "flights.yaml"


@pytest.fixture(scope="module")
def user(redis_server: RedisServer) -> Iterator[Shell]:
    """Have a shell in which one worker serves everything, and flights is registered."""
    prefix = "test-by-hand:"
    settings = {
        "DATAMCP_BROKER__URL": redis_server.broker_url,
        "DATAMCP_BROKER__KEY_PREFIX": prefix,
    }
    worker = (str(PROGRAMS / "celery"), "-A", "datamcp", "worker", "--concurrency", "2")
    with shell(**settings) as opened, opened.running(*worker, sign=" ready."):
        registered = opened.run("datamcp", "pipeline", "register", str(FLIGHTS), "--json")
        assert registered.json["revision"] == 1
        yield opened
    redis_server.remove_keys(prefix)


def trigger(user: Shell, month: str, *words: str) -> Ran:
    """Run the pipeline on a month in the folder `in`."""
    given = ("-p", f"month={month}", "-p", "data=in", "--wait", "--json", *words)
    return user.run("datamcp", "pipeline", "trigger", "flights", *given)


def in_march(flight: Record) -> Record:
    """Return the flight 59 days later, in which weather is known, too."""
    instant = datetime.fromisoformat(flight["time_hour"] or "") + timedelta(days=59)
    return flight | {"month": "3", "time_hour": instant.strftime("%Y-%m-%dT%H:%M:%SZ")}


def test_another_month_with_damaged_rows(user: Shell) -> None:
    """Bad rows are counted and set aside, and the rest gives the oracle's numbers."""
    flights = [in_march(flight) for flight in read(DATA / "flights_2013_01.csv.gz")]
    damaged = [
        flight | {"carrier": "ZZ"} if index % 1000 == 7 else flight
        for index, flight in enumerate(flights)
    ]
    write_month(user.folder / "in" / "flights_2013_03.csv.gz", damaged)

    ran = trigger(user, "2013_03")

    assert (ran.code, ran.stderr) == (0, "")
    steps = ran.json["tasks"]
    good = [flight for flight in damaged if flight["carrier"] != "ZZ"]
    assert steps["flights"]["records_rejected"] == len(damaged) - len(good) > 20
    oracle = FlightsOracle(good, DATA)
    assert_equal_to_oracle(lambda step: read_parquet(steps[step]["output"]), oracle)
    assert oracle.overall()["unknown_weather"] < len(good) / 10


HEAD, *ROWS = gzip.decompress((DATA / "flights_2013_01.csv.gz").read_bytes()).splitlines()[:500]
WHOLE = gzip.compress(b"\n".join([HEAD, *ROWS]))

DAMAGED_FILES = {
    "ragged": (
        gzip.compress(b"\n".join([HEAD, *ROWS[:9], ROWS[9] + b",x", *ROWS[10:]])),
        "step read_flights: flights_ragged.csv.gz: line 11: expected 19 columns, found 20",
    ),
    "truncated": (
        WHOLE[: len(WHOLE) // 2],
        "step read_flights: flights_truncated.csv.gz: the gzip file is damaged: ",
    ),
    "binary": (
        bytes(range(256)) * 100,
        "step read_flights: flights_binary.csv.gz: the gzip file is damaged: ",
    ),
    "nameless": (
        gzip.compress(b"\n".join([HEAD.replace(b"carrier", b"career"), *ROWS])),
        "step flights: step 'read_flights' has no column 'carrier'; it has year, month, ",
    ),
    "missing": (None, "step read_flights: no file 'in/flights_missing.csv.gz'; looked in "),
}


@pytest.mark.parametrize(
    "month",
    [
        pytest.param(month, marks=[] if month in {"ragged", "missing"} else pytest.mark.thorough)
        for month in DAMAGED_FILES
    ],
)
def test_a_file_that_cannot_be_used_fails_the_run_in_a_line(user: Shell, month: str) -> None:
    """The line names the run, the step, the file and where in it; the exit code is 1."""
    content, said = DAMAGED_FILES[month]
    (user.folder / "in").mkdir(exist_ok=True)
    if content is not None:
        (user.folder / "in" / f"flights_{month}.csv.gz").write_bytes(content)
    ran = trigger(user, month)
    assert ran.code == 1
    assert ran.json["state"] == "failed"
    assert ran.error.startswith(f"Error: run {ran.json['run_id']} failed: {said}")


def test_a_file_outside_of_the_allowed_folders_is_not_read(user: Shell, tmp_path: Path) -> None:
    """The line says what to set."""
    (tmp_path / "flights_1.csv.gz").write_bytes(WHOLE)
    words = ("-p", "month=1", "-p", f"data={tmp_path}", "--wait", "--json")
    ran = user.run("datamcp", "pipeline", "trigger", "flights", *words)
    assert ran.code == 1
    assert f"'{tmp_path}/flights_1.csv.gz' is outside of storage.allowed_roots" in ran.error
    assert ran.error.endswith("; add its folder there")


def test_a_run_that_does_not_end_in_time_is_shown_as_it_is(user: Shell) -> None:
    """The run goes on; the exit code is 1, and the line says how far it is."""
    ran = user.run("datamcp", "pipeline", "trigger", "flights", "--timeout", "0.01", "--json")
    assert ran.code == 1
    run_id = ran.json["run_id"]
    assert ran.json["state"] in {"queued", "running"}
    assert ran.error.startswith(f"Error: run {run_id} is still ")
    watched = user.run("datamcp", "pipeline", "status", run_id, "--watch", "--json")
    assert watched.json["state"] == "succeeded"
    late = user.run("datamcp", "pipeline", "cancel", run_id, "--json")
    assert late.code == 1
    assert late.error == f"Error: run {run_id} had already ended: succeeded"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-p", "mnth=1"], "mnth: is not a parameter; did you mean 'month'?"),
        (["--parameters", '{"month": 3}'], "month: must be of type string, got 3"),
    ],
)
def test_wrong_parameters_start_nothing(user: Shell, words: list[str], said: str) -> None:
    """The caller hears of it, with exit code 2."""
    before = runs_of(user)
    ran = user.run("datamcp", "pipeline", "trigger", "flights", *words)
    assert (ran.code, ran.stdout) == (2, "")
    assert ran.error == f"Error: invalid parameters for flights: {said}"
    assert runs_of(user) == before


def runs_of(user: Shell) -> int:
    """Return how many runs the user's ledger has."""
    with closing(sqlite3.connect(user.folder / ".datamcp" / "ledger.db")) as ledger:
        return int(ledger.execute("SELECT count(*) FROM runs").fetchone()[0])


def test_a_run_is_shown_live_on_a_terminal(user: Shell) -> None:
    """Its table is drawn over itself while it runs, and left once, in colour, at the end."""
    code, written = user.run_on_terminal("datamcp", "pipeline", "trigger", "flights", "--wait")
    assert code == 0
    assert written.count("read_flights") > 2
    assert "\x1b[32msucceeded" in written
    *_, last = written.split("\x1b[2K")
    lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", last).splitlines()
    assert sum("read_flights" in line for line in lines) == 1
    assert max(len(line.rstrip()) for line in lines) <= 80


@pytest.mark.parametrize(
    ("words", "reader", "lines"),
    [
        ("pipeline runs --json", "head -n 1", 1),
        ("pipeline list", "true", 0),
        ("config show", "true", 0),
        *[
            pytest.param(*one, marks=pytest.mark.thorough)
            for one in (
                ("pipeline list", "head -n 1", 1),
                ("config show", "head -n 1", 1),
                ("pipeline runs --json", "true", 0),
            )
        ],
    ],
)
def test_a_reader_that_has_enough_is_no_error(
    user: Shell, words: str, reader: str, lines: int
) -> None:
    """A pipe that is closed early, or at once, ends the command without a word."""
    ran = user.run("sh", "-c", f"{user.programs}/datamcp {words} | {reader}")
    assert (ran.code, ran.stderr) == (0, "")
    assert len(ran.stdout.splitlines()) == lines
    assert "\x1b" not in ran.stdout
