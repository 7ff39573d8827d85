import re
import signal
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from support.eventually import eventually
from support.flights_month import assert_equal_to_oracle
from support.flights_oracle import FlightsOracle, read
from support.shell import START, Ran, Shell, ended, shell
from support.steps import read_parquet

from datamcp.storage.roots import PACKAGE_ROOT

DATA = PACKAGE_ROOT / "data"


@pytest.fixture(scope="module")
def shown() -> Iterator[tuple[Shell, Ran]]:
    """Have the folder in which the demo ran, and what it printed on 80 columns."""
    with shell(COLUMNS="80") as user:
        yield user, user.run("datamcp", "demo")


def test_the_demo_ends_well_within_a_minute(shown: tuple[Shell, Ran]) -> None:
    """Everything is shown on stdout, within the width of the terminal."""
    _, ran = shown
    assert (ran.code, ran.stderr) == (0, "")
    assert ran.seconds < 60
    assert "Delay by carrier" in ran.stdout
    assert ran.stdout.splitlines()[-1] == "everything that was started is stopped"
    tables = ran.stdout.partition("Delay by carrier")[2].partition("\nreport ")[0]
    assert max(map(len, tables.splitlines())) <= 80
    assert "…" not in tables


def test_the_demo_leaves_only_its_state_folder(shown: tuple[Shell, Ran]) -> None:
    """No process, no temporary file, no record of a running stack."""
    user, _ = shown
    assert user.processes() == []
    assert list(user.temporary.iterdir()) == []
    assert {path.name for path in user.folder.iterdir()} == {".datamcp", "tmp"}
    assert not (user.folder / ".datamcp" / "stack.json").exists()


def test_the_commands_that_the_demo_prints_work(shown: tuple[Shell, Ran]) -> None:
    """What stands below each run's results can be typed as it stands, after all has stopped."""
    user, ran = shown
    commands = [line[9:] for line in ran.stdout.splitlines() if line[9:].startswith("datamcp ")]
    assert len(commands) == 4
    for history, tasks in zip(commands[::2], commands[1::2], strict=True):
        run = user.run(*history.split(), "--json").json
        assert run["state"] == "succeeded"
        states = [step["state"] for step in run["tasks"].values()]
        assert set(states) == {"succeeded"}
        listed = user.run(*tasks.split(), "--json").json
        assert {task["state"] for task in listed} == {"succeeded"}
        assert len(listed) == len(states)


def test_the_files_that_the_demo_names_are_there(shown: tuple[Shell, Ran]) -> None:
    """The reports, the tables and the folders of all files are found from where the demo ran."""
    user, ran = shown
    named = [line for line in ran.stdout.splitlines() if re.match(r"(report|table|files) ", line)]
    assert len(named) == 5
    assert [line for line in named if not (user.folder / line[9:]).exists()] == []


def test_the_numbers_are_right(shown: tuple[Shell, Ran]) -> None:
    """Every number of every table is what plain Python computes from the same files."""
    user, _ = shown
    run = run_of(user, "flights")
    oracle = FlightsOracle(read(DATA / "flights_2013_01.csv.gz"), DATA)
    assert_equal_to_oracle(lambda step: read_parquet(run["tasks"][step]["output"]), oracle)


def test_beat_starts_a_run_when_it_is_due(shown: tuple[Shell, Ran]) -> None:
    """The table of the runs shows when each was due, and when it began: never before."""
    user, ran = shown
    run = run_of(user, "market")
    due, began = (datetime.fromisoformat(run[name]) for name in ("scheduled_at", "started_at"))
    assert datetime.fromisoformat(run["created_at"]) < due <= began
    (line,) = [line for line in ran.stdout.splitlines() if line.startswith("market ")]
    assert line.split()[1:3] == [f"{at.astimezone():%H:%M:%S.%f}"[:-3] for at in (due, began)]


def run_of(user: Shell, pipeline: str) -> dict[str, Any]:
    """Return the one run of a pipeline, with its steps."""
    (run,) = user.run("datamcp", "pipeline", "runs", pipeline, "--json").json
    status: dict[str, Any] = user.run("datamcp", "pipeline", "status", run["run_id"], "--json").json
    return status


@pytest.mark.parametrize(
    ("how", "code"),
    [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.thorough)],
)
def test_a_demo_that_is_stopped_leaves_nothing_and_its_history_says_so(
    user: Shell, how: signal.Signals, code: int
) -> None:
    """Its run ends cancelled. While it ran, its folder took no second one."""
    demo = user.start("datamcp", "demo")
    with ended(demo), demo:
        assert demo.stdout is not None
        eventually(lambda: demo.stdout.readline().startswith("run "), timeout=START)
        second = user.run("datamcp", "demo")
        demo.send_signal(how)
        assert demo.wait(START) == code
    assert second.code == 2
    assert second.error.startswith(f"Error: a stack already runs from {user.folder}/.datamcp")
    assert f"(pid {demo.pid})" in second.error
    assert user.left() == []
    runs = user.run("datamcp", "pipeline", "runs", "--json").json
    assert {run["state"] for run in runs} <= {"cancelled", "succeeded"}
