"""`python -m benchmarks.pipelines`: raw Celery's canvases and datamcp's pipelines, in one run."""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich.console import Console

from benchmarks import machine
from benchmarks.pipelines import report
from benchmarks.pipelines.contest import Contest, Plan
from benchmarks.pipelines.outcome import Outcome, load
from benchmarks.pipelines.scenarios import SCENARIOS, TABLES
from benchmarks.servers import running
from benchmarks.tally import WrongResultError
from datamcp.clock import SystemClock
from datamcp.errors import DatamcpError

_NAMES = [*(scenario.name for scenario in SCENARIOS), TABLES]

_file = click.Path(path_type=Path, dir_okay=False)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--rounds", type=click.IntRange(1), help="Rounds of each scenario.  [default: 5]")
@click.option("--quick", is_flag=True, help="Small sizes, one round: to try it, not to quote.")
@click.option(
    "--only", multiple=True, type=click.Choice(_NAMES), help="Scenarios; may be repeated."
)
@click.option("--no-sqlite", is_flag=True, help="Leave SQLite out, as a quick run does.")
@click.option("--statements", is_flag=True, help="Also show which statements a step takes.")
@click.option("--profile", is_flag=True, help="Also profile each scenario, after the rounds.")
@click.option("--json", "json_file", type=_file, help="Write all figures into this file.")
@click.option("--from", "from_file", type=_file, help="Show this file; run nothing.")
@click.option("--page", type=_file, help="Write the tables into this page, between its marks.")
def main(
    *,
    rounds: int | None,
    quick: bool,
    only: Sequence[str],
    no_sqlite: bool,
    statements: bool,
    profile: bool,
    json_file: Path | None,
    from_file: Path | None,
    page: Path | None,
) -> None:
    """Measure raw Celery's canvases and pipelines side by side, and show both."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all servers are ended
    names = only or _NAMES
    plan = Plan(
        scenarios=[each for each in SCENARIOS if each.name in names],
        has_tables=TABLES in names,
        rounds=rounds or (1 if quick else 5),
        quick=quick,
        profile=profile,
        ledgers=("postgresql",) if no_sqlite or quick else ("postgresql", "sqlite"),
    )
    try:
        outcome = load(from_file) if from_file else _run(plan)
    except (DatamcpError, WrongResultError, OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    if json_file is not None:
        json_file.write_text(outcome.to_json(), encoding="utf-8")
    if page is not None:
        report.write_page(page, outcome)
    report.show(Console(), outcome, with_statements=statements)


def _run(plan: Plan) -> Outcome:
    outcome = Outcome(
        started_at=SystemClock().now().isoformat(timespec="seconds"),
        revision=machine.revision(),
        rounds=plan.rounds,
        quick=plan.quick,
        load_before=machine.load(),
    )
    with (
        TemporaryDirectory(prefix="datamcp-bench-") as name,
        running(Path(name)) as servers,
    ):
        outcome.machine = machine.facts(servers)
        tell = Console(stderr=True, highlight=False).print
        Contest(plan, outcome, servers, Path(name), tell).run()
    outcome.load_after = machine.load()
    return outcome


if __name__ == "__main__":
    main()
