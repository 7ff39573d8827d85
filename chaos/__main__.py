"""`python -m chaos`: load, faults and a judgement, on servers and processes of its own."""

import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from typing import Any

import click
from rich.console import Console

from chaos import outcome as figures
from chaos.outcome import Answer, Outcome
from chaos.run import FAULTS, Plan, Run, named, obey_term
from chaos.scenarios import SCENARIOS, Scale, Scenario, ask, hall
from chaos.stage import Broker, Ledger, set_stage
from datamcp.errors import DatamcpError

_file = click.Path(path_type=Path, dir_okay=False)
_folder = click.Path(path_type=Path, file_okay=False)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--seed", type=int, help="Decides the order of faults and tasks.  [default: new]")
@click.option("--faults", type=click.IntRange(0), default=100, show_default=True)
@click.option("--tasks", type=click.IntRange(1), default=1000, show_default=True)
@click.option(
    "--only",
    multiple=True,
    type=click.Choice([fault.name for fault in FAULTS]),
    help="Kinds of faults; may be repeated.",
)
@click.option(
    "--pace",
    type=click.FloatRange(0.05),
    default=1.5,
    show_default=True,
    help="Seconds between two faults, on the average.",
)
@click.option("--lease", type=click.IntRange(4), default=15, show_default=True, help="Seconds.")
@click.option(
    "--patience",
    type=click.FloatRange(1),
    default=120.0,
    show_default=True,
    help="Seconds in which all tasks have to end after the last fault.",
)
@click.option("--ledger", type=click.Choice(["postgresql", "sqlite"]), default="postgresql")
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    type=click.Choice([scenario.name for scenario in SCENARIOS]),
    help="Ask this one, and make no run; may be repeated.",
)
@click.option("--scenarios", "with_scenarios", is_flag=True, help="Ask all scenarios, then run.")
@click.option(
    "--broker",
    type=click.Choice(["valkey", "rabbitmq"]),
    default="valkey",
    show_default=True,
    help="Which broker of our own; for RabbitMQ, its server has to be installed.",
)
@click.option(
    "--beating",
    type=click.FloatRange(1),
    default=60.0,
    show_default=True,
    help="Seconds for which the scenarios of beats kill them.",
)
@click.option(
    "--dags",
    type=click.IntRange(1),
    default=60,
    show_default=True,
    help="Random pipelines of the scenario of that name.",
)
@click.option("--broker-url", help="A broker (redis:// or amqp://) instead of our own.")
@click.option("--database-url", help="A PostgreSQL whose user may make databases.")
@click.option("--json", "json_file", type=_file, help="Write all figures into this file.")
@click.option("--keep", type=_folder, help="Copy all logs into this new folder.")
def main(
    *,
    seed: int | None,
    faults: int,
    tasks: int,
    only: Sequence[str],
    pace: float,
    lease: int,
    patience: float,
    ledger: Ledger,
    broker: Broker,
    scenarios: Sequence[str],
    with_scenarios: bool,
    beating: float,
    dags: int,
    broker_url: str | None,
    database_url: str | None,
    json_file: Path | None,
    keep: Path | None,
) -> None:
    """Break everything under load, and see whether a task is lost or done twice."""
    obey_term()
    plan = Plan(
        seed=secrets.randbelow(1_000_000) if seed is None else seed,
        tasks=tasks,
        faults=faults,
        kinds=named(only),
        pace=pace,
        patience=patience,
    )
    wanted = [one for one in SCENARIOS if with_scenarios or one.name in scenarios]
    progress = Console(stderr=True, highlight=False, markup=False)
    progress.print(f"seed {plan.seed}")
    place = {
        "ledger": ledger,
        "broker": broker,
        "broker_url": broker_url,
        "database_url": database_url,
    }
    try:
        scale = Scale(lease=lease, beating=beating, dags=dags, seed=plan.seed)
        answers = [_ask(one, scale, place, progress) for one in wanted]
        outcome = None if scenarios else _run(plan, lease, place, keep, progress)
    except (DatamcpError, OSError) as error:
        raise click.ClickException(f"seed {plan.seed}: {error}") from error
    if json_file is not None:
        json_file.write_text(figures.to_json(outcome, answers), encoding="utf-8")
    figures.show(Console(), outcome, answers)
    is_good = outcome is None or outcome.is_good
    sys.exit(not is_good or any(answer.complaints for answer in answers))


def _ask(scenario: Scenario, scale: Scale, place: Mapping[str, Any], progress: Console) -> Answer:
    progress.print(f"{scenario.name} ...")
    with (
        TemporaryDirectory(prefix="datamcp-chaos-") as name,
        hall(scenario, Path(name), scale, **place) as found,
    ):
        return ask(scenario, found)


def _run(
    plan: Plan, lease: int, place: Mapping[str, Any], keep: Path | None, progress: Console
) -> Outcome:
    with TemporaryDirectory(prefix="datamcp-chaos-") as name:
        folder = Path(name)
        try:
            with set_stage(folder, lease=lease, **place) as stage:
                return Run(plan, stage, progress.print).go()
        finally:
            if keep is not None:
                copytree(folder, keep, ignore=lambda *_: ["broker"], dirs_exist_ok=True)


if __name__ == "__main__":
    main()
