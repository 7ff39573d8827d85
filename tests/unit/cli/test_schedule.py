"""`datamcp schedule …`: `preview` needs no service; the others keep schedules in a ledger."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.eventually import eventually

from datamcp import Task, connect
from datamcp.bootstrap.runtime import Runtime
from datamcp.cli.tree import tree
from datamcp.scheduling.schedule import Source, spec_of
from datamcp.scheduling.schedules import Declared
from datamcp.scheduling.target import CallTarget, Target, TaskTarget

AGENT = """
from datetime import datetime

from datamcp import BaseAgent, capability


class Bench(BaseAgent):
    agent_type = "bench"

    @capability
    def add(self, a: int, b: int = 0) -> int:
        return a + b

    @capability
    def tell(self, topic: str = "", at: datetime | None = None, years: list[int] | None = None) -> str:
        return topic
"""

PIPELINE = """
pipeline_id: sums
name: Sums
parameters:
  a: {type: integer, default: 1}
  day: {type: string, default: ""}
tasks:
  - task_id: add
    processor: bench.add
    configuration: {a: "${parameters.a}"}
"""

NOWHERE = "redis://127.0.0.1:1/0"  # nothing listens on port 1
BERLIN = ("--timezone", "Europe/Berlin")


@pytest.fixture
def _kept(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a ledger, an agent in the current folder, and a broker that is away."""
    (tmp_path / "bench_of_schedules.py").write_text(AGENT)
    monkeypatch.syspath_prepend(str(tmp_path))  # some tests ask no command, which would
    monkeypatch.setenv("DATAMCP_AGENTS__BENCH__MODULE", "bench_of_schedules:Bench")
    monkeypatch.setenv("DATAMCP_STORAGE__DATABASE_URL", sqlite_url)
    monkeypatch.setenv("DATAMCP_BROKER__URL", NOWHERE)


def run(*words: str, code: int = 0) -> Result:
    """Run a command, and look how it ends."""
    result = CliRunner().invoke(tree, ["schedule", *words], prog_name="datamcp")
    assert result.exit_code == code, result.output
    return result


def told(*words: str) -> Any:
    """Return what a command says as JSON."""
    return json.loads(run(*words, "--json").stdout)


def refused(*words: str) -> str:
    """Run a command that is refused as wrong input, and return its one line."""
    result = run(*words, code=2)
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line.removeprefix("Error: ")


def rows(*words: str) -> list[list[str]]:
    """Return the words of a command's lines."""
    return [line.split() for line in run(*words).stdout.splitlines()]


def fields(*words: str) -> dict[str, str]:
    """Return the names and values that a command shows."""
    lines = (line.split("  ", 1) for line in run(*words).stdout.splitlines() if "  " in line)
    return {name: value.strip() for name, value in lines}


@contextmanager
def runtime() -> Iterator[Runtime]:
    """Give what the commands use."""
    with connect() as found:
        yield found


def declared(name: str, source: Source, target: Target) -> None:
    """Have a schedule that is declared somewhere."""
    with runtime() as found:
        one = Declared(name, source, spec_of(schedule="@daily"), target)
        assert found.schedules.sync(source, [one]).changed == [name]


ADD = TaskTarget(task=Task(task_type="bench.add", parameters={"a": 1}))


def test_a_table_shows_the_clocks_of_the_zone() -> None:
    """And the instants, and how far they are apart."""
    result = run(
        "preview", "30 2 * * *", "--timezone", "Europe/Berlin",
        "--from", "2026-03-27T12:00Z", "--count", "3",
    )  # fmt: skip
    assert result.stdout.splitlines() == [
        "local time              offset UTC                 after",
        "Sat 2026-03-28 02:30:00 +01:00 2026-03-28 01:30:00 13 h 30 min",
        "Sun 2026-03-29 03:30:00 +02:00 2026-03-29 01:30:00 24 h 00 min",
        "Mon 2026-03-30 02:30:00 +02:00 2026-03-30 00:30:00 23 h 00 min",
    ]


def test_json() -> None:
    """One object for each time."""
    words = ("--timezone", "Asia/Kathmandu", "--from", "2026-01-01T00:00Z", "--count", "1")
    result = run("preview", "@daily", *words, "--json")
    assert json.loads(result.stdout) == [
        {"fire_at": "2026-01-01T18:15:00Z", "local_time": "2026-01-02T00:00:00+05:45"}
    ]


def test_intervals_are_counted_from_the_start() -> None:
    """Ten of them, if nobody says how many."""
    result = run("preview", "every 90s", "--from", "2026-01-01T00:00:10Z", "--json")
    times = [one["fire_at"] for one in json.loads(result.stdout)]
    assert times[:2] == ["2026-01-01T00:01:40Z", "2026-01-01T00:03:10Z"]
    assert len(times) == 10


def test_what_is_over_is_told() -> None:
    """On stderr: stdout has no times."""
    result = run("preview", "2020-01-01T00:00Z")
    assert result.stdout == ""
    assert "names no time after" in result.stderr
    assert json.loads(run("preview", "2020-01-01T00:00Z", "--json").stdout) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["61 * * * *"], "minute: must be from 0 to 59"),
        (["@daily", "--timezone", "Europe/Berln"], "did you mean 'Europe/Berlin'"),
        (["@daily", "--from", "0001-01-01T00:00Z"], "is not within the years 1970 to 9989"),
        (["every 1h", "--from", "9999-12-31T23:00Z"], "is not within the years 1970 to 9989"),
        (["@daily", "--from", "now"], "--from takes an ISO 8601 instant"),
        (["@daily", "--count", "0"], "--count"),
    ],
)
def test_mistakes(words: list[str], message: str) -> None:
    """One line, and the exit code of wrong input."""
    assert message in run("preview", *words, code=2).stderr


@pytest.mark.usefixtures("_kept")
class TestPreviewOfWhatIsKept:
    """A name of a schedule stands for its times."""

    def test_a_name(self) -> None:
        """Its own zone counts, and its bounds."""
        run("add", "0 2 * * *", "bench.tell", "--name", "nightly", *BERLIN, "--end", "2030-01-02T12:00Z")  # fmt: skip
        shown = told("preview", "nightly", "--from", "2030-01-01T00:00Z")
        assert [one["local_time"] for one in shown] == [
            "2030-01-01T02:00:00+01:00",
            "2030-01-02T02:00:00+01:00",
        ]

    def test_what_is_neither_a_name_nor_an_expression(self) -> None:
        """Both are said, and what was probably meant."""
        run("add", "@daily", "bench.tell", "--name", "nightly")
        said = refused("preview", "nigtly")
        assert said.startswith("'nigtly' is not a cron expression")
        assert said.endswith("nor the name of a schedule; did you mean 'nightly'?")


@pytest.mark.usefixtures("_kept")
class TestAdd:
    """A schedule is checked as a whole, and then kept."""

    def test_a_task(self) -> None:
        """Words become values of the capability's types; the next time is that of the zone."""
        shown = fields(
            "add", "0 2 * * *", "bench.tell", "-p", "topic=1", "-p", "years=[1]", *BERLIN,
            "--name", "nightly", "--start", "2030-01-01T12:00Z",
        )  # fmt: skip
        assert shown["name"] == "nightly"
        assert shown["when"] == "0 2 * * * (Europe/Berlin)"
        assert shown["next"].startswith("Wed 2030-01-02 02:00:00 CET, in ")
        kept = told("show", "nightly")
        assert kept["schedule_id"] == shown["schedule"]
        assert kept["target"]["task"]["parameters"] == {"topic": "1", "years": [1]}

    def test_every_option(self) -> None:
        """Each is kept."""
        kept = told(
            "add", "every 1h", "bench.add", "--parameters", '{"a": 1}', "-p", "b=2",
            "--misfire", "catch-up:3", "--overlap", "buffer_one", "--jitter", "2.5",
            "--start", "2030-01-01T00:00Z", "--end", "2031-01-01T00:00Z", "--priority", "8",
            "--timeout", "9.5", "--retries", "4", "--note", "a word", "--paused",
        )  # fmt: skip
        assert kept["spec"] == {
            "schedule": "every 1h",
            "timezone": "UTC",
            "misfire": "catch_up:3",
            "overlap": "buffer_one",
            "jitter": 2.5,
            "start": "2030-01-01T00:00:00Z",
            "end": "2031-01-01T00:00:00Z",
        }
        task = kept["target"]["task"]
        assert task["parameters"] == {"a": 1, "b": 2}
        assert (task["priority"], task["timeout"], task["retry_count"]) == (8, 9.5, 4)
        assert (kept["name"], kept["note"], kept["paused"]) == (None, "a word", True)
        assert kept["next_fire_at"] == "2030-01-01T00:00:00Z"

    def test_the_time_that_fires_stays_a_word(self) -> None:
        """Also where a parameter is an instant."""
        words = ("-p", "at=${run.fire_at}", "-p", "topic=of ${run.fire_at}")
        kept = told("add", "@daily", "bench.tell", *words)
        assert kept["target"]["task"]["parameters"] == {
            "at": "${run.fire_at}",
            "topic": "of ${run.fire_at}",
        }

    def test_a_pipeline(self, tmp_path: Path) -> None:
        """Its definition says of which types its parameters are."""
        register(tmp_path)
        kept = told("add", "@daily", "--pipeline", "sums", "-p", "a=3", "-p", "day=${run.fire_at}")
        assert kept["target"] == {
            "kind": "pipeline",
            "pipeline_id": "sums",
            "parameters": {"a": 3, "day": "${run.fire_at}"},
        }
        assert "--priority, --timeout and --retries go with a task" in refused(
            "add", "@daily", "--pipeline", "sums", "--priority", "8"
        )

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["@daily"], "name what to run: either a TASK_TYPE or a --pipeline"),
            (["@daily", "bench.add", "--pipeline", "sums"], "name what to run: either a TASK_TYPE"),
            (["@daily", "bench.ad"], "unknown task type 'bench.ad'; did you mean 'bench.add'?"),
            (["@daily", "a\tb"], "task_type: "),
            (["@daily", "--pipeline", "sums"], "no pipeline 'sums' is registered"),
            (["@daily", "bench.add"], "invalid parameters for bench.add: a: is required"),
            (["@daily", "bench.add", "-p", "a=x"], "invalid parameters for bench.add: a: "),
            (["61 * * * *", "bench.tell"], "minute: must be from 0 to 59"),
            (["nightly", "bench.tell"], "'nightly' is not a cron expression"),
            (
                ["2020-01-01T00:00Z", "bench.tell"],
                "'2020-01-01T00:00Z' names no time that is still",
            ),
            (
                ["@daily", "bench.tell", "--misfire", "skpi"],
                "misfire: 'skpi' is not skip, fire_once, catch_up or catch_up:20; did you mean 'ski",
            ),
            (["@daily", "bench.tell", "--misfire", "catch_up:0"], "misfire: catch_up takes from 1"),
            (["@daily", "bench.tell", "--overlap", "alow"], "overlap: 'alow' is not allow, skip, "),
            (["@daily", "bench.tell", "--timezone", "Berlin"], "no time zone is called 'Berlin'"),
            (["@daily", "bench.tell", "--jitter", "-1"], "invalid value for '--jitter'"),
            (["@daily", "bench.tell", "--start", "soon"], "--start takes an ISO 8601 instant"),
            (
                ["@daily", "bench.tell", "--start", "2031-01-01", "--end", "2030-01-01"],
                "end: must be later than start",
            ),
            (["@daily", "bench.tell", "--name", ""], "a name has from 1 to 200 characters"),
        ],
    )
    def test_mistakes(self, words: list[str], said: str) -> None:
        """One line each, and nothing is kept."""
        assert refused("add", *words).startswith(said)
        assert told("list") == []

    def test_a_name_is_given_once(self) -> None:
        """The other schedule stays as it is."""
        run("add", "@daily", "bench.tell", "--name", "nightly")
        assert "there is a schedule 'nightly' already" in refused(
            "add", "@hourly", "bench.tell", "--name", "nightly"
        )
        assert [one["spec"]["schedule"] for one in told("list")] == ["@daily"]


def register(folder: Path) -> None:
    """Have a pipeline."""
    (folder / "sums.yaml").write_text(PIPELINE)
    result = CliRunner().invoke(tree, ["pipeline", "register", "sums.yaml"])
    assert result.exit_code == 0, result.output


@pytest.mark.usefixtures("_kept")
class TestLooks:
    """`list` and `show`."""

    def test_the_list(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """By name; where the line is long enough, with the last times."""
        monkeypatch.setenv("COLUMNS", "150")
        run("add", "0 2 * * *", "bench.tell", "--name", "nightly", "--start", "2030-01-01", *BERLIN)
        run(
            "add", "@daily", "bench.add", "-p", "a=1", "--name", "adds", "--paused", "--note", "why"
        )
        head, adds, nightly = rows("list")
        assert head == ["name", "when", "what", "next", "last", "state"]
        assert adds == ["adds", "@daily", "bench.add", "paused:", "why"]
        assert nightly[:7] == ["nightly", "0", "2", "*", "*", "*", "(Europe/Berlin)"]
        assert nightly[7:9] == ["bench.tell", "2030-01-01,"]
        assert nightly[-1] == "active"
        assert [one["name"] for one in told("list")] == ["adds", "nightly"]
        monkeypatch.setenv("COLUMNS", "80")
        assert "last" not in rows("list")[0]

    def test_the_list_of_a_source(self) -> None:
        """What is declared elsewhere is listed, too."""
        declared("morning", Source.CONFIG, ADD)
        run("add", "@daily", "bench.tell", "--name", "nightly")
        assert [one["name"] for one in told("list", "--source", "config")] == ["morning"]
        assert [one["name"] for one in told("list", "--source", "api")] == ["nightly"]
        assert len(told("list")) == 2

    def test_one_in_full(self) -> None:
        """Its fields, its next five times, and what became of the last ones."""
        run("add", "every 0.1s", "bench.tell", "-p", "topic=oil", "--name", "often")
        with runtime() as found:
            eventually(lambda: found.firer.go() is not None and found.schedules.firings("often"))
        run("run", "often")
        shown = fields("show", "often")
        assert shown["parameters"] == '{"topic":"oil"}'
        assert (shown["misfire"], shown["overlap"], shown["source"]) == (
            "fire_once",
            "allow",
            "api",
        )
        words = rows("show", "often")
        assert ["local", "time", "offset", "UTC", "after"] in words
        ends = words[words.index(["time", "kind", "outcome", "fired", "state"]) + 1 :]
        assert {(line[2], line[3], line[5]) for line in ends} == {
            ("run_now", "fired", "queued"),
            ("due", "fired", "queued"),
        }
        whole = told("show", "often", "--firings", "1")
        assert len(whole["next_times"]) == 5
        (firing,) = whole["firings"]
        assert (firing["kind"], firing["state"]) == ("run_now", "queued")
        assert whole["next_times"][0] == whole["next_fire_at"]
        assert told("show", "often", "--firings", "0")["firings"] == []

    def test_a_call_of_celerys(self) -> None:
        """With its arguments."""
        call = CallTarget(task_type="bench.add", args=(1,), options={"queue": "bench"})
        declared("beat", Source.CELERY, call)
        shown = fields("show", "beat")
        assert (shown["args"], shown["options"]) == ("[1]", '{"queue":"bench"}')
        assert refused("update", "beat", "-p", "a=1").startswith("the arguments of a Celery call")

    @pytest.mark.parametrize("command", ["show", "pause", "resume", "run", "remove"])
    def test_an_unknown_name(self, command: str) -> None:
        """The one that was probably meant is told."""
        run("add", "@daily", "bench.tell", "--name", "nightly")
        assert refused(command, "nigtly") == "no schedule 'nigtly'; did you mean 'nightly'?"


@pytest.mark.usefixtures("_kept")
class TestChanges:
    """`update`, `pause`, `resume` and `remove`."""

    def test_update(self) -> None:
        """What is left out stays; one parameter is changed alone."""
        words = ("-p", "topic=oil", "-p", "years=[1]", "--priority", "7", "--jitter", "3")
        before = told("add", "0 2 * * *", "bench.tell", "--name", "nightly", *words, *BERLIN)
        after = told("update", "nightly", "0 3 * * *", "-p", "topic=gold", "--retries", "2", "--note", "x")  # fmt: skip
        assert after["spec"] == {**before["spec"], "schedule": "0 3 * * *"}
        task = after["target"]["task"]
        assert task["parameters"] == {"topic": "gold", "years": [1]}
        assert (task["priority"], task["retry_count"], after["note"]) == (7, 2, "x")
        assert fields("update", "nightly", "--priority", "9")["when"].startswith("0 3 * * *")
        replaced = told("update", "nightly", "--parameters", '{"topic": "tin"}')
        assert replaced["target"]["task"]["parameters"] == {"topic": "tin"}
        assert replaced["target"]["task"]["priority"] == 9

    def test_a_bound_can_be_taken_away(self) -> None:
        """By the word `none`."""
        bounds = ("--start", "2030-01-01", "--end", "2031-01-01")
        run("add", "@daily", "bench.tell", "--name", "nightly", *bounds)
        spec = told("update", "nightly", "--end", "none")["spec"]
        assert spec["end"] is None
        assert spec["start"] is not None

    def test_update_of_a_pipelines(self, tmp_path: Path) -> None:
        """Its parameters; it has no priority."""
        register(tmp_path)
        run("add", "@daily", "--pipeline", "sums", "-p", "a=3", "--name", "sums")
        after = told("update", "sums", "-p", "day=x")
        assert after["target"]["parameters"] == {"a": 3, "day": "x"}
        assert "go with a task" in refused("update", "sums", "--retries", "1")

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ([], "say what to change"),
            (["61 * * * *"], "minute: must be from 0 to 59"),
            (["-p", "a=1"], "invalid parameters for bench.tell: a: is not a parameter"),
            (["--overlap", "alow"], "overlap: 'alow' is not "),
            (["--priority", "10"], "invalid value for '--priority'"),
        ],
    )
    def test_mistakes(self, words: list[str], said: str) -> None:
        """The schedule stays as it was."""
        before = told("add", "@daily", "bench.tell", "--name", "nightly")
        assert refused("update", "nightly", *words).startswith(said)
        assert told("list") == [before]

    def test_pause_and_resume(self) -> None:
        """With a word why; its next times are those after it goes on."""
        run("add", "@daily", "bench.tell", "--name", "nightly")
        shown = fields("pause", "nightly", "--note", "moving [house]")
        assert shown["state"] == "paused: moving [house]"
        assert "next" not in shown
        assert len(told("show", "nightly")["next_times"]) == 5
        resumed = told("resume", "nightly", "--note", "")
        assert (resumed["paused"], resumed["note"]) == (False, "")

    def test_remove(self) -> None:
        """By name, or by id; it is gone then."""
        run("add", "@daily", "bench.tell", "--name", "nightly")
        other = told("add", "@daily", "bench.tell")["schedule_id"]
        assert run("remove", "nightly").stdout == "removed nightly\n"
        assert told("remove", other)["schedule_id"] == other
        assert told("list") == []

    def test_what_is_declared_changes_where_it_is_declared(self) -> None:
        """It can be paused, and run."""
        declared("morning", Source.CONFIG, ADD)
        for words in (["remove", "morning"], ["update", "morning", "@hourly"]):
            said = refused(*words)
            assert said.startswith("schedule 'morning' is declared in the configuration")
            assert said.endswith("change it there; it can be paused here")
        assert told("pause", "morning")["paused"] is True
        run("run", "morning")


@pytest.mark.usefixtures("_kept")
class TestOutOfTurn:
    """`run` and `backfill`."""

    def test_a_task_at_once(self) -> None:
        """Its id is all that is printed; as JSON it is the task, which waits."""
        run("add", "@daily", "bench.tell", "--name", "nightly", "--paused")
        made = run("run", "nightly").stdout.strip()
        assert told("show", "nightly")["fired_id"] == made
        status = told("run", "nightly")
        assert (status["task_type"], status["state"]) == ("bench.tell", "queued")
        assert status["task_id"] != made

    def test_a_run_at_once(self, tmp_path: Path) -> None:
        """It is found by its id, too."""
        register(tmp_path)
        run("add", "@daily", "--pipeline", "sums", "--name", "sums")
        status = told("run", "sums")
        assert (status["pipeline_id"], status["triggered_by"]) == ("sums", "schedule sums")
        assert told("show", "sums")["firings"][0]["state"] == status["state"]

    def test_to_wait_in_vain(self, tmp_path: Path) -> None:
        """The exit code is 1, and the task or the run goes on."""
        register(tmp_path)
        run("add", "@daily", "bench.tell", "--name", "nightly")
        run("add", "@daily", "--pipeline", "sums", "--name", "sums")
        for name in ("nightly", "sums"):
            result = run("run", name, "--timeout", "0", code=1)
            assert result.stderr.endswith("is still queued after 0 s\n")

    def test_a_dry_backfill(self) -> None:
        """Lists the times on the clocks of the zone, and makes nothing."""
        run("add", "0 2 * * *", "bench.tell", "--name", "nightly", *BERLIN)
        words = ("--from", "2026-03-28T00:00Z", "--to", "2026-03-30T00:00Z", "--dry-run")
        assert run("backfill", "nightly", *words).stdout.splitlines() == [
            "local time              offset UTC                 after",
            "Sat 2026-03-28 02:00:00 +01:00 2026-03-28 01:00:00 1 h 00 min",
            "Sun 2026-03-29 03:00:00 +02:00 2026-03-29 01:00:00 24 h 00 min",
        ]
        assert told("backfill", "nightly", *words) == [
            {"fire_at": "2026-03-28T01:00:00Z", "fired_id": None},
            {"fire_at": "2026-03-29T01:00:00Z", "fired_id": None},
        ]
        assert told("show", "nightly")["fired"] == 0

    def test_a_backfill(self) -> None:
        """The times again are the same tasks."""
        run("add", "0 2 * * *", "bench.tell", "--name", "nightly")
        words = ("--from", "2026-03-28T00:00Z", "--to", "2026-03-31T00:00Z")
        assert run("backfill", "nightly", *words).stdout == "fired 3 tasks of nightly\n"
        made = [one["fired_id"] for one in told("backfill", "nightly", *words)]
        firings = told("show", "nightly")["firings"]
        assert [one["fired_id"] for one in firings] == made[::-1]
        assert {(one["kind"], one["state"]) for one in firings} == {("backfill", "queued")}

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--from", "2030-01-01"], "missing option '--to'"),
            (["--from", "soon", "--to", "2030-01-01"], "--from takes an ISO 8601 instant"),
            (["--from", "2030-01-02", "--to", "2030-01-01"], "--to must be later than --from"),
            (["--from", "1990-01-01", "--to", "2030-01-01"], "more than 100,000 times are in that"),
        ],
    )
    def test_mistakes(self, words: list[str], said: str) -> None:
        """Nothing is fired."""
        run("add", "every 1m", "bench.tell", "--name", "nightly", "--start", "1990-01-01T00:00Z")
        assert refused("backfill", "nightly", *words).startswith(said)
        assert told("show", "nightly")["fired"] == 0

    def test_nothing_is_fired_without_a_broker(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """That is told first; schedules can be made all the same."""
        monkeypatch.delenv("DATAMCP_BROKER__URL")
        run("add", "@daily", "bench.tell", "--name", "nightly")
        assert "none is configured" in run("run", "nightly", code=3).stderr
        span = ("--from", "2026-01-01", "--to", "2026-01-03")
        assert "none is configured" in run("backfill", "nightly", *span, code=3).stderr
        assert told("show", "nightly")["fired"] == 0
