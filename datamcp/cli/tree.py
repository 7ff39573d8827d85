"""The tree of commands, and the options that stand before all of them."""

import click

from datamcp import __version__
from datamcp.cli.check import check
from datamcp.cli.config import config
from datamcp.cli.demo import demo
from datamcp.cli.group import CommandGroup
from datamcp.cli.pipeline import pipeline
from datamcp.cli.schedule import schedule
from datamcp.cli.services import beat, flower, migrate, worker
from datamcp.cli.session import Session
from datamcp.cli.status import status
from datamcp.cli.task import task
from datamcp.cli.up import down, up


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="datamcp")
@click.option(
    "-s",
    "--set",
    "settings",
    metavar="SECTION.KEY=VALUE",
    multiple=True,
    help="Override a setting; may be repeated.",
)
@click.pass_context
def tree(ctx: click.Context, settings: tuple[str, ...]) -> None:
    """Durable tasks and pipelines for agents, on Celery.

    \b
    First steps:
      datamcp demo                          see it work on real data
      datamcp status                        what runs, what waits, what needs somebody
      datamcp check                         what is configured, and does it answer
      datamcp up                            start everything; `datamcp down` ends it
      datamcp task enqueue TYPE -p a=1      enqueue a task
      datamcp pipeline trigger ID --wait    run a pipeline

    Settings come from config files, DATAMCP_… variables and --set; see `datamcp config explain`.
    """  # noqa: D301  click's mark for text that is not re-wrapped
    overrides = {}
    for setting in settings:
        path, equals, value = setting.partition("=")
        if not equals:
            raise click.UsageError(f"--set takes SECTION.KEY=VALUE, got {setting!r}")
        overrides[path.strip()] = value
    ctx.obj = Session(overrides)


for command in (
    demo,
    up,
    status,
    down,
    worker,
    beat,
    flower,
    migrate,
    check,
    config,
    task,
    pipeline,
    schedule,
):
    tree.add_command(command)
