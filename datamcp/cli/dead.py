"""`datamcp task dead …`: tasks that failed or timed out for good, to be looked at and tried anew."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict

import click
from pydantic import BaseModel

from datamcp.cli.group import CommandGroup
from datamcp.cli.output import console, counted, json_option, print_json, show
from datamcp.cli.parameters import read_instant
from datamcp.cli.session import session
from datamcp.cli.task_tables import dead_table, history_table, letter_fields, requeued_table
from datamcp.clock import SystemClock

type_option = click.option("--type", "task_type", metavar="TYPE", help="Only tasks of this type.")
since_option = click.option(
    "--since",
    metavar="INSTANT",
    help="Only those that died at this ISO 8601 instant or later; local time if it names no zone.",
)
all_option = click.option("--all", "every", is_flag=True, help="All that fit the other options.")
some_option = click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="With --all: no more than so many."
)


class _Filters(TypedDict):
    task_type: str | None
    since: datetime | None
    limit: int | None


class DeadGroup(CommandGroup):
    """A group that lists where no command is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the name of a command, or options of `list`."""
        is_named = bool(args) and (not args[0].startswith("-") or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if is_named else ["list", *args])


@click.group(cls=DeadGroup)
def dead() -> None:
    """List dead letters: tasks that failed or timed out for good; requeue or discard them.

    Steps of pipelines are not among them, nor what was cancelled.

    \b
    Examples:
      datamcp task dead
      datamcp task dead show 01987e6a-…
      datamcp task dead requeue --all --type research.report
    """  # noqa: D301  click's mark for text that is not re-wrapped


@dead.command(name="list")
@type_option
@since_option
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many."
)
@json_option
def list_letters(task_type: str | None, since: str | None, limit: int, as_json: bool) -> None:
    """List dead letters, the last dead first.

    \b
    Examples:
      datamcp task dead list --type research.report --limit 100
      datamcp task dead list --since 2030-01-01T00:00Z --json
    """  # noqa: D301  click's mark for text that is not re-wrapped
    earliest = read_instant(since, "--since")
    with session().runtime() as runtime:
        found = runtime.tasks.dead_letters.list(task_type=task_type, since=earliest, limit=limit)
    if as_json:
        print_json(found)
    else:
        show(dead_table(found, width=console().width, now=SystemClock().now()))


@dead.command(name="show")
@click.argument("task_id")
@json_option
def show_letter(task_id: str, as_json: bool) -> None:
    """Show a dead letter, with its parameters and its history.

    One that was requeued or discarded can be shown as well.

    \b
    Example:
      datamcp task dead show 01987e6a-…
    """  # noqa: D301  click's mark for text that is not re-wrapped
    with session().runtime() as runtime:
        letter = runtime.tasks.dead_letters.show(task_id)
    if as_json:
        print_json(letter)
        return
    show(letter_fields(letter))
    show("")
    show(history_table(letter.history))


@dead.command()
@click.argument("task_ids", nargs=-1)
@all_option
@type_option
@since_option
@some_option
@json_option
def requeue(
    task_ids: tuple[str, ...],
    every: bool,
    task_type: str | None,
    since: str | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Make new tasks of dead letters: of those named, or of --all that fit.

    A new task has the parameters, the idempotency key and the retry policy of the old one, which
    leaves the list and says which task follows it.

    \b
    Examples:
      datamcp task dead requeue 01987e6a-…
      datamcp task dead requeue --all --type research.report --since 2030-01-01
    """  # noqa: D301  click's mark for text that is not re-wrapped
    filters = _checked(task_ids, every=every, task_type=task_type, since=since, limit=limit)
    with session().runtime() as runtime:
        letters = runtime.tasks.dead_letters
        requeued = dict(letters.requeue_all(**filters)) if every else {}
        try:
            for task_id in task_ids:
                requeued[task_id] = letters.requeue(task_id)
        finally:
            statuses = [runtime.tasks.status(task_id) for task_id in requeued.values()]
            if as_json:
                _print(statuses, one=len(task_ids) == 1)
            elif requeued:
                show(requeued_table(requeued))


@dead.command()
@click.argument("task_ids", nargs=-1)
@all_option
@type_option
@since_option
@some_option
@json_option
def discard(
    task_ids: tuple[str, ...],
    every: bool,
    task_type: str | None,
    since: str | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Take dead letters off the list: those named, or --all that fit.

    They stay in the ledger as failed tasks, with their history.

    \b
    Examples:
      datamcp task dead discard 01987e6a-…
      datamcp task dead discard --all --type research.report
    """  # noqa: D301  click's mark for text that is not re-wrapped
    filters = _checked(task_ids, every=every, task_type=task_type, since=since, limit=limit)
    with session().runtime() as runtime:
        letters = runtime.tasks.dead_letters
        discarded = list(letters.discard_all(**filters)) if every else []
        try:
            for task_id in task_ids:
                letters.discard(task_id)
                discarded.append(task_id)
        finally:
            if as_json:
                _print([letters.show(task_id) for task_id in discarded], one=len(task_ids) == 1)
            elif discarded or every:
                click.echo(f"{counted(len(discarded), 'dead letter')} discarded", err=True)


def _checked(
    task_ids: Sequence[str],
    *,
    every: bool,
    task_type: str | None,
    since: str | None,
    limit: int | None,
) -> _Filters:
    """Return the filters of --all; raises click.UsageError for what does not go together."""
    filters = _Filters(task_type=task_type, since=read_instant(since, "--since"), limit=limit)
    if every == bool(task_ids):
        raise click.UsageError("name dead letters, or take --all")
    if not every and any(value is not None for value in filters.values()):
        raise click.UsageError("--type, --since and --limit go with --all")
    return filters


def _print(models: Sequence[BaseModel], *, one: bool) -> None:
    """Print what became of the dead letters: one object where one was named, else an array."""
    if not one:
        print_json(models)
    elif models:
        print_json(models[0])
