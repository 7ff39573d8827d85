"""What the command line tells of runs: as a document, as a page, by their logs, and live."""

import json
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from rich.console import Console
from support.dags import fan
from support.exports import BEGIN, export_of, played, step
from support.ledgers import LedgerOnHand, ledger_at_hand
from support.run_rows import RunRows

from datamcp.cli.group import INTERRUPTED
from datamcp.cli.live import expected, live_view
from datamcp.cli.progress import follow
from datamcp.cli.session import Session
from datamcp.cli.tree import tree
from datamcp.cli.watch import goes_on
from datamcp.infra.database import Database
from datamcp.pipelines.export import RunExport
from datamcp.pipelines.status import PipelineStatus, RunState
from datamcp.tasks.outcome import Fail, Retry
from datamcp.tasks.states import State
from datamcp.testing import FakeClock

CHAIN = {"read": [], "check": ["read"], "report": ["read", "check"]}


@pytest.fixture
def at_hand(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[LedgerOnHand]:
    """Have the ledger that the commands use."""
    monkeypatch.setenv("DATAMCP_STORAGE__DATABASE_URL", sqlite_url)
    database = Database(sqlite_url)
    yield ledger_at_hand(database)
    database.close()


@pytest.fixture
def failed(at_hand: LedgerOnHand) -> str:
    """Have a run that failed: one step was tried twice, one went wrong for good."""
    rows = RunRows(at_hand)
    run_id = rows.start(CHAIN)
    rows.make(run_id, "read", Retry("busy", "try [later]", 5))
    at_hand.clock.move(10)
    at_hand.ledger.release_due(100)
    rows.say(run_id, "read", "read 7 rows", attempt=2)
    rows.make(run_id, "read")
    rows.say(run_id, "check", "checked", "and found <nothing>")
    rows.make(run_id, "check", Fail("broken", "for good <script>"))
    rows.make(run_id, "report")
    rows.close(run_id)
    return run_id


def run(*words: str, code: int = 0) -> Result:
    """Run a command on pipelines in this process."""
    result = CliRunner().invoke(tree, ["pipeline", *words], prog_name="datamcp")
    assert result.exit_code == code, result.output
    return result


class TestExport:
    """`pipeline export`."""

    def test_json_is_the_model(self, failed: str) -> None:
        """On stdout, with edges, attempts and, if they are asked for, lines."""
        told = run("export", failed)
        assert told.stderr == ""
        found = json.loads(told.stdout)
        assert found["edges"] == [
            {"from": "read", "to": "check", "data": True},
            {"from": "read", "to": "report", "data": True},
            {"from": "check", "to": "report", "data": False},
        ]
        assert found["status"]["state"] == "failed"
        assert list(found["attempts"]) == ["read"]
        assert found["logs"] is None
        export = RunExport.model_validate_json(run("export", failed, "--logs").stdout)
        assert export.pipeline.revision == 1
        assert export.attempts["read"][0].error_message == "try [later]"
        assert export.logs is not None
        assert [line.message for line in export.logs["check"]] == ["checked", "and found <nothing>"]

    def test_a_file_is_named(self, failed: str) -> None:
        """On stderr; stdout is empty then."""
        told = run("export", failed, "--output", "run.json")
        assert (told.stdout, told.stderr) == ("", "wrote run.json\n")
        assert (
            json.loads(Path("run.json").read_text(encoding="utf-8"))["status"]["run_id"] == failed
        )

    def test_a_page_has_the_name_of_the_run(self, failed: str) -> None:
        """Unless it is given another, or goes to stdout."""
        told = run("export", failed, "--format", "html", "--logs")
        assert (told.stdout, told.stderr) == ("", f"wrote {failed}.html\n")
        text = Path(f"{failed}.html").read_text(encoding="utf-8")
        assert text.startswith("<!DOCTYPE html>")
        assert "and found &lt;nothing&gt;" in text
        assert "for good &lt;script&gt;" in text
        assert "<nothing>" not in text
        shown = run("export", failed, "--format", "html", "--output", "-")
        assert shown.stdout.endswith("</html>\n")
        run("export", failed, "--format", "html", "--output", "other.html")
        assert Path("other.html").exists()

    def test_what_can_not_be_done_is_told_in_a_line(self, failed: str) -> None:
        """A run that is not there, a file that can't be written."""
        told = run("export", "no", code=2)
        assert told.stderr == "Error: no pipeline run 'no' in the ledger\n"
        told = run("export", failed, "--output", "no/such/folder", code=2)
        assert told.stderr.startswith(
            "Error: --output: No such file or directory: 'no/such/folder'"
        )


class TestLogs:
    """`pipeline logs`."""

    def test_of_all_steps(self, failed: str) -> None:
        """In order, each with its step."""
        lines = run("logs", failed).stdout.splitlines()
        assert [line.split()[2:4] for line in lines] == [
            ["read", "2"],
            ["check", "1"],
            ["check", "1"],
        ]
        assert lines[-1].endswith("INFO     and found <nothing>")
        found = json.loads(run("logs", failed, "--json").stdout)
        assert next((line["step_id"], line["attempt"]) for line in found) == ("read", 2)

    def test_of_one_step_or_attempt(self, failed: str) -> None:
        """And so many lines."""
        assert len(run("logs", failed, "check").stdout.splitlines()) == 2
        assert run("logs", failed, "read", "--attempt", "1").stdout == ""
        assert run("logs", failed, "--limit", "1").stdout.endswith("and found <nothing>\n")
        assert json.loads(run("logs", failed, "report", "--json").stdout) == []

    def test_what_is_not_there_is_told(self, failed: str) -> None:
        """A run, a step: no log that is empty."""
        assert run("logs", "no", code=2).stderr == "Error: no pipeline run 'no' in the ledger\n"
        told = run("logs", failed, "chek", code=2).stderr
        assert "has no step 'chek'; did you mean 'check'?" in told


class TestWatch:
    """`pipeline watch`."""

    def test_a_run_that_has_ended_is_told_at_once(self, failed: str) -> None:
        """A line for each step, and the exit code of --wait."""
        told = run("watch", failed, code=1)
        lines = told.stdout.splitlines()
        assert [line.split()[1] for line in lines[:3]] == ["read", "check", "report"]
        assert lines[3].startswith(f"flights {failed}  failed  100%")
        assert told.stderr == f"Error: run {failed} failed: step check: for good <script>\n"

    def test_json_is_the_status_alone(self, failed: str) -> None:
        """However long it took."""
        found = json.loads(run("watch", failed, "--json", code=1).stdout)
        assert PipelineStatus.model_validate(found).run_id == failed

    def test_a_run_that_is_not_there_is_told(self, at_hand: LedgerOnHand) -> None:
        """In a line."""
        assert run("watch", "no", code=2).stderr == "Error: no pipeline run 'no' in the ledger\n"

    def test_to_stop_watching_is_not_to_stop_the_run(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The line says how to do that."""
        ctx = click.Context(tree, obj=Session())
        with ctx, pytest.raises(click.exceptions.Exit) as ended, goes_on(ctx, "01987e6a"):
            raise KeyboardInterrupt
        assert ended.value.exit_code == INTERRUPTED
        told = capsys.readouterr().err
        assert told.startswith("run 01987e6a goes on; to cancel it: ")
        assert told.endswith(" pipeline cancel 01987e6a\n")


def test_a_status_has_attempts_and_errors(failed: str) -> None:
    """And when each step began."""
    lines = run("status", failed).stdout.splitlines()
    assert lines[1].split() == ["step", "state", "attempt", "began", "took", "rows", "out"]
    assert lines[2].split()[:6] == ["✓", "read", "succeeded", "2", "of", "3"]
    assert lines[-1] == "  check: for good <script>"


def printed(status: PipelineStatus, lines: int) -> list[str]:
    """Return the live table of a run as lines."""
    shown = Console(file=StringIO(), width=120, height=lines)
    now = BEGIN + timedelta(seconds=10)
    with shown.capture() as captured:
        shown.print(live_view(status, now, lines=lines))
    return captured.get().splitlines()


def test_a_live_table_has_every_step_where_there_is_room() -> None:
    """In the order of the definition, with how far the run is."""
    steps = {
        "read": step(records_out=1_234),
        "check": step(State.RUNNING, attempt=2, max_attempts=3, progress=0.4),
        "report": step(State.SCHEDULED),
    }
    ends = BEGIN + timedelta(seconds=130)
    run = export_of(CHAIN, steps, state=RunState.RUNNING, estimated_completion=ends).status
    lines = printed(run, 20)
    assert lines[0].startswith("flights 01987e6a")
    assert "1 of 3 steps, ends about " in lines[1]
    assert lines[1].endswith(", in 2 min")
    assert [line.split()[1] for line in lines[3:]] == ["read", "check", "report"]
    assert lines[4].split()[2:7] == ["running", "40%", "2", "of", "3"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(20, ", in 20 s"), (600, ", in 10 min"), (7_300, ", in 2 h 02 min"), (200_000, " h 33 min")],
)
def test_an_end_to_come_is_told_roughly(seconds: float, said: str) -> None:
    """With its day, if that is another one."""
    end = BEGIN + timedelta(seconds=seconds)
    run = export_of(CHAIN, state=RunState.RUNNING, estimated_completion=end).status
    told = expected(run, BEGIN)
    assert told.startswith("ends about ")
    assert told.endswith(said)
    assert (f"{end.astimezone():%m-%d}" in told) == (seconds > 86_400)
    assert expected(run.model_copy(update={"state": RunState.FAILED}), BEGIN) == ""
    assert expected(run.model_copy(update={"estimated_completion": None}), BEGIN) == ""


def test_a_live_table_fits_a_terminal() -> None:
    """What runs and what failed comes before what waits; the rest is counted."""
    status = played(fan(300), 2, until=30, workers=4, failures=["s3"]).status
    lines = printed(status, 16)
    assert len(lines) <= 16
    assert sum("running" in line for line in lines[3:-1]) == 4
    assert any("s3" in line and "failed" in line for line in lines)
    assert lines[-1].startswith("· and 291 more: ")


@pytest.mark.parametrize("is_terminal", [True, False])
def test_runs_are_followed_to_their_ends(*, is_terminal: bool) -> None:
    """Live on a terminal; else a line for each step that ends, once."""
    views = [played(CHAIN, 1, until=until).status for until in (0.5, 3.0)] + [
        played(CHAIN, 1).status
    ]
    looks = iter(views)
    out = StringIO()
    shown = Console(file=out, force_terminal=is_terminal, width=100, height=30)
    (ended,) = follow(shown, lambda: [next(looks)], FakeClock(), is_kept=True)
    assert ended.state is RunState.SUCCEEDED
    if not is_terminal:
        assert [line.split()[1] for line in out.getvalue().splitlines()] == list(CHAIN)
    else:
        assert "100%" in out.getvalue()
