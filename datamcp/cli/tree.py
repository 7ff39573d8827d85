"""The tree of commands: its groups, and where the commands of each are."""

import click

from datamcp import __version__
from datamcp.cli.group import CommandGroup
from datamcp.cli.session import Session

_COMMANDS = {
    "beat": "services:beat",
    "check": "check:check",
    "config": "config:config",
    "demo": "demo:demo",
    "down": "up:down",
    "flower": "services:flower",
    "migrate": "services:migrate",
    "status": "status:status",
    "up": "up:up",
    "worker": "services:worker",
}

_OF_TASK = {
    "cancel": "task:cancel",
    "dead": "dead:dead",
    "enqueue": "task:enqueue",
    "history": "task:history",
    "list": "task:list_tasks",
    "logs": "task:logs",
    "status": "task:status",
}

_OF_PIPELINE = {
    "approve": "pipeline_signal:approve",
    "backfill": "pipeline_backfill:backfill",
    "cancel": "run:cancel",
    "clear": "pipeline_change:clear",
    "export": "run_export:export",
    "history": "pipeline_history:history",
    "lineage": "run_lineage:lineage",
    "list": "pipeline:list_pipelines",
    "logs": "run_logs:logs",
    "mark": "pipeline_change:mark",
    "pause": "pipeline_change:pause",
    "plan": "plan:plan",
    "register": "pipeline:register",
    "reject": "pipeline_signal:reject",
    "resume": "pipeline_change:resume",
    "retry": "pipeline_change:retry",
    "runs": "run:runs",
    "schema": "pipeline_schema:schema",
    "signal": "pipeline_signal:signal",
    "status": "run:status",
    "trigger": "run:trigger",
    "validate": "pipeline:validate",
    "watch": "watch:watch",
}

_OF_SCHEDULE = {
    "add": "schedule:add",
    "backfill": "schedule_change:backfill",
    "list": "schedule:list_schedules",
    "pause": "schedule_change:pause",
    "preview": "schedule_preview:preview",
    "remove": "schedule_change:remove",
    "resume": "schedule_change:resume",
    "run": "schedule_change:run",
    "show": "schedule:show_schedule",
    "update": "schedule_change:update",
}


@click.group(
    cls=CommandGroup,
    elsewhere=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
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


@tree.group(cls=CommandGroup, elsewhere=_OF_TASK)
def task() -> None:
    """Enqueue tasks, and see what became of them.

    A task type is an agent's capability, such as `research.report`; `datamcp check` lists them.

    \b
    Examples:
      datamcp task enqueue bench.add -p a=1 -p b=2 --wait
      datamcp task list --state failed
      datamcp task history 01987e6a-…
      datamcp task logs 01987e6a-… --follow
      datamcp task dead
    """  # noqa: D301  click's mark for text that is not re-wrapped


@tree.group(cls=CommandGroup, elsewhere=_OF_PIPELINE)
def pipeline() -> None:
    """Check, register, run and watch pipelines.

    A pipeline is a YAML file; `register` keeps it, `trigger` starts a run of it.

    \b
    Examples:
      datamcp pipeline validate flights.yaml
      datamcp pipeline register flights.yaml
      datamcp pipeline trigger flights -p month=2013_02 --wait
      datamcp pipeline runs flights
      datamcp pipeline watch 01987e6a-…
      datamcp pipeline export 01987e6a-… --format html
    """  # noqa: D301  click's mark for text that is not re-wrapped


@tree.group(cls=CommandGroup, elsewhere=_OF_SCHEDULE)
def schedule() -> None:
    """Run tasks and pipelines by themselves, at the times of a schedule.

    A beat fires them (`datamcp beat`, or `datamcp up`); any number of beats may run. A schedule goes
    by its id or its name. Those of the configuration, of pipelines and of Celery's beat_schedule are
    listed, too, and can be paused.

    \b
    Examples:
      datamcp schedule preview "30 2 * * *" --timezone Europe/Berlin
      datamcp schedule add "0 2 * * *" research.report -p topic=oil --name nightly
      datamcp schedule add "every 15m" --pipeline flights --overlap skip
      datamcp schedule list
      datamcp schedule show nightly
      datamcp schedule pause nightly --note "moving house"
      datamcp schedule run nightly --wait
      datamcp schedule backfill nightly --from 2030-01-01 --to 2030-02-01 --dry-run
    """  # noqa: D301  click's mark for text that is not re-wrapped
