"""`python -m benchmarks`: raw Celery and datamcp side by side, in one run."""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich.console import Console

from benchmarks import machine, report
from benchmarks.contest import Contest, Plan
from benchmarks.outcome import Outcome, load
from benchmarks.scenarios import SCENARIOS
from benchmarks.servers import running
from benchmarks.tally import WrongResultError
from datamcp.clock import SystemClock
from datamcp.errors import DatamcpError

_NAMES = [scenario.name for scenario in SCENARIOS]
_QUICK_ROUNDS = 2

_file = click.Path(path_type=Path, dir_okay=False)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--rounds", type=click.IntRange(1), help="Rounds of each scenario.  [default: 5]")
@click.option("--slots", type=click.IntRange(1), default=2, show_default=True, help="Of a worker.")
@click.option("--quick", is_flag=True, help="Small sizes and two rounds: to try it, not to quote.")
@click.option(
    "--only", multiple=True, type=click.Choice(_NAMES), help="Scenarios; may be repeated."
)
@click.option("--no-sqlite", is_flag=True, help="Leave datamcp on SQLite out.")
@click.option("--profile", is_flag=True, help="Also profile each scenario, after the rounds.")
@click.option(
    "--quiet",
    type=click.FloatRange(0),
    default=0.0,
    metavar="SECONDS",
    help="On a busy machine: wait so long for quiet, and repeat what was disturbed.",
)
@click.option("--broker-url", help="A broker (redis:// and empty, or amqp://) instead of our own.")
@click.option("--database-url", help="A PostgreSQL whose user may make databases.")
@click.option("--json", "json_file", type=_file, help="Write all figures into this file.")
@click.option("--from", "from_file", type=_file, help="Show this file; run nothing.")
@click.option("--against", type=_file, help="Compare with the figures of this file.")
@click.option("--page", type=_file, help="Write the tables into this page, between its marks.")
def main(
    *,
    rounds: int | None,
    slots: int,
    quick: bool,
    only: Sequence[str],
    no_sqlite: bool,
    profile: bool,
    quiet: float,
    broker_url: str | None,
    database_url: str | None,
    json_file: Path | None,
    from_file: Path | None,
    against: Path | None,
    page: Path | None,
) -> None:
    """Measure raw Celery and datamcp side by side, and show both with their ratios."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all servers are ended
    plan = Plan(
        scenarios=[each for each in SCENARIOS if each.name in (only or _NAMES)],
        rounds=rounds or (_QUICK_ROUNDS if quick else 5),
        slots=slots,
        quick=quick,
        profile=profile,
        quiet=quiet,
        ledgers=("postgresql",) if no_sqlite else ("postgresql", "sqlite"),
    )
    try:
        outcome = load(from_file) if from_file else _run(plan, broker_url, database_url)
        earlier = load(against) if against else None
    except (DatamcpError, WrongResultError, OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    if json_file is not None:
        json_file.write_text(outcome.to_json(), encoding="utf-8")
    if page is not None:
        report.write_page(page, outcome)
    report.show(Console(), outcome)
    if earlier is not None:
        report.show_comparison(Console(), outcome, earlier)


def _run(plan: Plan, broker_url: str | None, database_url: str | None) -> Outcome:
    outcome = Outcome(
        started_at=SystemClock().now().isoformat(timespec="seconds"),
        revision=machine.revision(),
        rounds=plan.rounds,
        slots=plan.slots,
        quick=plan.quick,
        machine={},
        load_before=machine.load(),
    )
    progress = Console(stderr=True, highlight=False)
    with (
        TemporaryDirectory(prefix="datamcp-bench-") as name,
        running(Path(name), broker_url=broker_url, database_url=database_url) as servers,
    ):
        outcome.machine = machine.facts(servers)
        Contest(plan, outcome, servers, Path(name), progress.print).run()
    outcome.load_after = machine.load()
    return outcome


if __name__ == "__main__":
    main()
