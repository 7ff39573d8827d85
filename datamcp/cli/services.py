"""Commands that run processes, and the one that prepares the ledger."""

import os
import sys

import click
from pydantic import BaseModel

from datamcp.cli.output import json_option, print_json
from datamcp.cli.session import session
from datamcp.naming import did_you_mean
from datamcp.tasks.queues import PIPELINES

_PASSED_ON = {"ignore_unknown_options": True, "allow_extra_args": True}


class Migrated(BaseModel):
    """What `migrate` did: the ledger's version before, if it had one, and now."""

    before: str | None
    now: str


@click.command(context_settings=_PASSED_ON)
@click.argument("agent")
@click.argument("celery_options", nargs=-1, type=click.UNPROCESSED)
def worker(agent: str, celery_options: tuple[str, ...]) -> None:
    """Serve an agent type, or `pipelines`.

    The same as `celery -A datamcp worker --agent AGENT`; further options are Celery's. Ctrl-C or
    SIGTERM ends it once the tasks that run have ended.

    \b
    Examples:
      datamcp worker research
      datamcp worker pipelines --concurrency 4
      datamcp --set agents.research.pool=threads worker research
    """  # noqa: D301  click's mark for text that is not re-wrapped
    types = (PIPELINES, *session().load().config.agents)
    if agent not in types:
        hint = did_you_mean(agent, types) or f"; there are {', '.join(types)}"
        raise click.UsageError(f"no agent type {agent!r} is switched on{hint}")
    _become_celery("worker", "--agent", agent, *celery_options)


@click.command(context_settings=_PASSED_ON)
@click.argument("celery_options", nargs=-1, type=click.UNPROCESSED)
def beat(celery_options: tuple[str, ...]) -> None:
    """Send what is due, and what was lost.

    The same as `celery -A datamcp beat`; further options are Celery's. Any number of beats may
    run.

    \b
    Examples:
      datamcp beat
      datamcp beat --loglevel INFO
    """  # noqa: D301  click's mark for text that is not re-wrapped
    _become_celery("beat", *celery_options)


@click.command(context_settings=_PASSED_ON)
@click.argument("flower_options", nargs=-1, type=click.UNPROCESSED)
def flower(flower_options: tuple[str, ...]) -> None:
    """Show workers and tasks in a browser.

    The same as `celery -A datamcp flower`; further options are Flower's, with `=` before their
    value. Address, port and password come from the section `monitoring`.

    \b
    Examples:
      datamcp flower
      DATAMCP_MONITORING__FLOWER_AUTH=me:… datamcp flower --port=8080
    """  # noqa: D301  click's mark for text that is not re-wrapped
    for option in flower_options:
        _require_flower_option(option)
    _become_celery("flower", *flower_options)


@click.command()
@json_option
def migrate(as_json: bool) -> None:
    """Bring the ledger's tables up to date.

    Safe to repeat, and to run in several places at once. In development an empty database is
    filled at its first use, without this.

    \b
    Examples:
      datamcp migrate
      DATAMCP_STORAGE__DATABASE_URL=postgresql://… datamcp migrate
    """  # noqa: D301  click's mark for text that is not re-wrapped
    from datamcp.infra.migrate import migrate as bring_up_to_date

    with session().parts() as runtime:
        before = bring_up_to_date(runtime.database)
    if as_json:
        print_json(Migrated(before=before.found, now=before.needed))
    elif before.is_current:
        click.echo(f"the ledger is up to date: version {before.needed}")
    elif before.found is None:
        click.echo(f"the ledger was made: version {before.needed}")
    else:
        click.echo(f"the ledger is now at version {before.needed} (before: {before.found})")


def _require_flower_option(option: str) -> None:
    """Refuse what Flower would ignore without a word; raises UsageError."""
    from flower.options import options as known

    name = option.partition("=")[0].lstrip("-").replace("-", "_")
    if not option.startswith("-"):
        raise click.UsageError(f"Flower's options have the form --name=value, got {option!r}")
    if name not in known:
        hint = did_you_mean(name, [one.replace("-", "_") for one in known])
        raise click.UsageError(f"Flower has no option {name!r}{hint}")


def _become_celery(*arguments: str) -> None:
    """Go on as Celery's own command, in this same process."""
    environment = session().environment()
    command = [sys.executable, "-m", "celery", "-A", "datamcp", *arguments]
    os.execve(sys.executable, command, environment)  # noqa: S606  an argument list, no shell
