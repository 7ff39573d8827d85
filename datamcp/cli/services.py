"""Commands that run processes, prepare the ledger, and check that all is there."""

import os
import sys
from collections.abc import Callable, Iterator
from functools import partial

import click
from pydantic import BaseModel
from rich.table import Table
from rich.text import Text

from datamcp.bootstrap.apps import exit_code_of
from datamcp.bootstrap.runtime import Runtime, build
from datamcp.cli.output import console, json_option, print_json
from datamcp.cli.session import session
from datamcp.config.text import child_environment
from datamcp.errors import DatamcpError
from datamcp.infra import migrate as migrations
from datamcp.naming import did_you_mean

_PASSED_ON = {"ignore_unknown_options": True, "allow_extra_args": True}


class Finding(BaseModel):
    """What `check` found out about one thing; `level` is ok, warning or error."""

    name: str
    level: str
    message: str
    exit_code: int = 0


@click.command(context_settings=_PASSED_ON)
@click.argument("agent")
@click.argument("celery_options", nargs=-1, type=click.UNPROCESSED)
def worker(agent: str, celery_options: tuple[str, ...]) -> None:
    """Serve AGENT: an agent type, or `pipelines`.

    The same as `celery -A datamcp worker --agent AGENT`; further options are Celery's.

    \b
    Examples:
      datamcp worker research
      datamcp worker pipelines --concurrency 4
    """  # noqa: D301  click's mark for text that is not re-wrapped
    queues = build(session().load().config).types.queues()
    if agent not in queues:
        hint = did_you_mean(agent, queues) or f"; there are {', '.join(queues)}"
        raise click.UsageError(f"no agent type {agent!r} is switched on{hint}")
    _become_celery("worker", "--agent", agent, *celery_options)


@click.command(context_settings=_PASSED_ON)
@click.argument("celery_options", nargs=-1, type=click.UNPROCESSED)
def beat(celery_options: tuple[str, ...]) -> None:
    """Send what is due, and what was lost; any number of beats may run.

    The same as `celery -A datamcp beat`; further options are Celery's.
    """
    session().load()
    _become_celery("beat", *celery_options)


@click.command()
@json_option
def migrate(as_json: bool) -> None:
    """Bring the ledger's tables to the version that this program needs.

    Safe to repeat, and to run in several places at once.
    """
    runtime = build(session().load().config)
    try:
        before = migrations.migrate(runtime.database)
    finally:
        runtime.close()
    if as_json:
        click.echo(f'{{"before": {_quoted(before.found)}, "now": "{before.needed}"}}')
    elif before.is_current:
        click.echo(f"the ledger is up to date: version {before.needed}")
    else:
        click.echo(f"the ledger is now at version {before.needed} (before: {before.found})")


@click.command()
@json_option
@click.pass_context
def check(ctx: click.Context, as_json: bool) -> None:
    """Check the configuration, the agents, the database and the broker.

    Exit code 0: all is well. 2: something is configured wrongly. 3: a service does not answer.
    """
    findings = list(_findings())
    if as_json:
        print_json(findings)
    else:
        console().print(_table(findings))
    ctx.exit(max(finding.exit_code for finding in findings))


def _findings() -> Iterator[Finding]:
    loaded = session().load()
    files = ", ".join(file.name for file in loaded.files)
    environment = loaded.config.system.environment
    yield Finding(name="configuration", level="ok", message=f"{environment}, from {files}")
    for warning in loaded.warnings:
        yield Finding(name="configuration", level="warning", message=str(warning))
    runtime = build(loaded.config)
    try:
        for agent_type in loaded.config.agents:
            yield _try(f"agent {agent_type}", partial(_capabilities, runtime, agent_type))
        yield _try("database", partial(_database, runtime))
        yield _try("broker", partial(_broker, runtime))
    finally:
        runtime.close()


def _try(name: str, probe: Callable[[], str]) -> Finding:
    try:
        return Finding(name=name, level="ok", message=probe())
    except DatamcpError as error:
        code = exit_code_of(error)
        return Finding(name=name, level="error", message=str(error), exit_code=code)


def _capabilities(runtime: Runtime, agent_type: str) -> str:
    names = [kind.name.partition(".")[2] for kind in runtime.types.served_by(agent_type)]
    return ", ".join(names) or "has no capabilities"


def _database(runtime: Runtime) -> str:
    runtime.require_ledger()
    return f"{runtime.database.shown}, ledger version {migrations.look(runtime.database).needed}"


def _broker(runtime: Runtime) -> str:
    runtime.app.require_broker()
    ready = {queue: runtime.depths.ready(queue) for queue in runtime.types.queues()}
    waiting = sum(ready.values())
    return f"{runtime.app.connection_for_read().as_uri()}, {waiting} messages waiting"


def _table(findings: list[Finding]) -> Table:
    colours = {"ok": "green", "warning": "yellow", "error": "red"}
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        table.add_row(
            Text(finding.level, style=colours[finding.level]), finding.name, finding.message
        )
    return table


def _become_celery(*arguments: str) -> None:
    """Go on as Celery's own command, in this same process."""
    environment = child_environment(session().overrides)
    command = [sys.executable, "-m", "celery", "-A", "datamcp", *arguments]
    os.execve(sys.executable, command, environment)  # noqa: S606  an argument list, no shell


def _quoted(text: str | None) -> str:
    return "null" if text is None else f'"{text}"'
