"""`datamcp status`: what runs, what waits, and what needs somebody, on one page."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import click
from rich.live import Live

from datamcp.cli.group import UNREACHABLE
from datamcp.cli.output import console, json_option, print_json, show
from datamcp.cli.session import Session, session
from datamcp.cli.status_page import status_page
from datamcp.stack.record import read_running

if TYPE_CHECKING:
    from datamcp.stack.report import InstallationStatus

_LOOK = 1.0  # seconds between two looks


@click.command()
@click.option("-w", "--watch", is_flag=True, help="Look every second, until Ctrl-C.")
@json_option
@click.pass_context
def status(ctx: click.Context, watch: bool, as_json: bool) -> None:
    """Show what runs and what waits.

    Shows the workers, beats and queues of this installation, whether `datamcp up` started them
    here, or something else anywhere: every process says in the ledger that it is there. What needs
    somebody stands at the end, in words.

    READY are messages in the broker, QUEUED rows in the ledger, OLDEST how long the first has
    waited; FAILED counts the last hour. Exit code 3: the broker or the ledger does not answer, or
    nothing runs from this folder and no broker is configured; what is known is shown.

    \b
    Examples:
      datamcp status
      datamcp status --watch
      datamcp status --json | jq -r '.warnings[]'
      DATAMCP_BROKER__URL=redis://… DATAMCP_STORAGE__DATABASE_URL=postgresql://… datamcp status
    """  # noqa: D301  click's mark for text that is not re-wrapped
    if watch and as_json:
        raise click.UsageError("--watch shows pages, no JSON; give one of the two")
    if watch:
        _watch()
        return
    with ExitStack() as cleanup:
        found = next(_looks(session(), cleanup))
    if as_json:
        print_json(found)
    elif found.is_anything:
        show(status_page(found))
    else:
        click.echo("\n".join(found.warnings), err=True)
    ctx.exit(0 if found.is_whole else UNREACHABLE)


def _looks(current: Session, cleanup: ExitStack) -> "Iterator[InstallationStatus]":
    """Look again and again; a stack that comes or goes meanwhile is noticed."""
    from datamcp import __version__
    from datamcp.stack.status import StatusLook

    while True:
        folder = current.load().config.system.state_dir
        before = _pid(folder)
        runtime = cleanup.enter_context(current.parts())
        look = StatusLook(runtime, version=__version__)
        yield look.look()
        while _pid(folder) == before:
            yield look.look()
        cleanup.close()
        current = Session(current.overrides)


def _pid(folder: Path) -> int | None:
    """Return the stack that runs from a folder."""
    record = read_running(folder)
    return None if record is None else record.pid


def _watch() -> None:
    shown, pause = console(), Event()
    with ExitStack() as cleanup:
        looks = _looks(session(), cleanup)
        try:
            if not shown.is_terminal:
                for found in looks:
                    show(status_page(found))
                    click.echo()
                    pause.wait(_LOOK)
            with Live(console=shown, auto_refresh=False, vertical_overflow="crop") as live:
                for found in looks:
                    live.update(status_page(found), refresh=True)
                    pause.wait(_LOOK)
        except KeyboardInterrupt:
            return  # that is how one stops to watch
