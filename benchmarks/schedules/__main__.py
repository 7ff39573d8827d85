"""`python -m benchmarks.schedules`: beats of Celery's, of others and of datamcp's, in one run."""

import signal
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click
from rich.console import Console

from benchmarks import machine
from benchmarks.schedules import report
from benchmarks.schedules.contest import PATIENCE, Contest, Plan
from benchmarks.schedules.ours import OURS
from benchmarks.schedules.outcome import Outcome, load
from benchmarks.schedules.rivals import RIVALS
from benchmarks.tally import WrongResultError
from datamcp.clock import SystemClock
from datamcp.errors import DatamcpError

_SIDES = (*RIVALS, *OURS)
_NAMES = [kind.name for kind in _SIDES]
_QUICK = (500, 50, 3.0)

_file = click.Path(path_type=Path, dir_okay=False)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--count", type=click.IntRange(1), default=10_000, show_default=True)
@click.option("--due", type=click.IntRange(1), default=1000, show_default=True, help="At once.")
@click.option(
    "--idle",
    type=click.FloatRange(0, min_open=True),
    default=20.0,
    show_default=True,
    metavar="SECONDS",
    help="For which a beat is watched while none is due.",
)
@click.option("--rounds", type=click.IntRange(1), default=1, show_default=True)
@click.option("--quick", is_flag=True, help="500 schedules, 50 due: to try it, not to quote.")
@click.option("--only", multiple=True, type=click.Choice(_NAMES), help="Sides; may be repeated.")
@click.option("--json", "json_file", type=_file, help="Write all figures into this file.")
@click.option("--from", "from_file", type=_file, help="Show this file; run nothing.")
@click.option("--page", type=_file, help="Write the table into this page, between its marks.")
def main(
    *,
    count: int,
    due: int,
    idle: float,
    rounds: int,
    quick: bool,
    only: Sequence[str],
    json_file: Path | None,
    from_file: Path | None,
    page: Path | None,
) -> None:
    """Measure how soon each beat sends what is due at once, and what it takes while nothing is."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all servers are ended
    if quick:
        count, due, idle = _QUICK
    if due > count:
        raise click.BadParameter("no more can be due than there are", param_hint="--due")
    sides = [kind for kind in _SIDES if kind.name in (only or _NAMES)]
    plan = Plan(sides, count=count, due=due, idle=idle, rounds=rounds)
    try:
        outcome = load(from_file) if from_file else _run(plan)
    except (DatamcpError, WrongResultError, OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    if json_file is not None:
        json_file.write_text(outcome.to_json(), encoding="utf-8")
    if page is not None:
        report.write_page(page, outcome)
    report.show(Console(), outcome)


def _run(plan: Plan) -> Outcome:
    outcome = Outcome(
        started_at=SystemClock().now().isoformat(timespec="seconds"),
        revision=machine.revision(),
        count=plan.count,
        due=plan.due,
        idle=plan.idle,
        patience=PATIENCE,
        rounds=plan.rounds,
        load_before=machine.load(),
    )
    Contest(plan, outcome, Console(stderr=True, highlight=False).print).run()
    outcome.load_after = machine.load()
    if outcome.machine:
        outcome.machine["packages"] |= dict(_versions(plan.sides))
    return outcome


def _versions(sides: Sequence[type]) -> list[tuple[str, str]]:
    """Return the versions of the rivals that are installed."""
    found = []
    for name, _module in filter(None, (getattr(kind, "needs", None) for kind in sides)):
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    main()
