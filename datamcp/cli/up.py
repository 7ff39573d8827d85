"""`datamcp up` and `datamcp down`: the whole installation under one supervisor, on this machine."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from datamcp.cli.group import INTERRUPTED
from datamcp.cli.output import fields_table, show
from datamcp.cli.parameters import Seconds
from datamcp.cli.session import session
from datamcp.clock import SystemClock
from datamcp.config.layer import OriginKind
from datamcp.config.loader import Loaded
from datamcp.config.redaction import redact_url
from datamcp.naming import did_you_mean
from datamcp.tasks.queues import PIPELINES

if TYPE_CHECKING:
    from datamcp.bootstrap.runtime import Runtime
    from datamcp.stack.inquiry import Address
    from datamcp.stack.process import Process
    from datamcp.stack.record import StackRecord
    from datamcp.stack.stack import Stack

_FLOWER_PORT = "monitoring.flower_port"


@click.command()
@click.option(
    "-d", "--detach", is_flag=True, help="Run in the background; return once it is ready."
)
@click.option(
    "--only",
    metavar="TYPE",
    multiple=True,
    help=f"Start the workers of this agent type, or of `{PIPELINES}`, and no others; repeatable.",
)
@click.option("--no-flower", is_flag=True, help="Leave Flower out.")
@click.option(
    "--stop-timeout",
    type=Seconds(min=0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long workers may finish what they run when the stack ends.",
)
@click.pass_context
def up(
    ctx: click.Context, detach: bool, only: tuple[str, ...], no_flower: bool, stop_timeout: float
) -> None:
    """Start everything, and keep it running.

    Starts a worker for each agent type and for `pipelines`, beat, and Flower. The broker is the
    configured one, else an embedded Valkey, whose messages outlast it in the state folder. The
    ledger is the configured database, else a SQLite file there. What dies is started again, and
    what it was running goes back to the queue.

    Ctrl-C or SIGTERM ends it in order: workers finish what they run. A second one cuts that short;
    what was cut short runs again. Other commands of the same folder find its broker and ledger.

    \b
    Examples:
      datamcp up
      datamcp up --detach
      datamcp up --only research --no-flower
      datamcp --set agents.research.concurrency=4 up
    """  # noqa: D301  click's mark for text that is not re-wrapped
    loaded = session().load()
    pools = _pools(loaded, only)
    session().warn()
    if detach:
        options = [word for pool in only for word in ("--only", pool)]
        options += ["--no-flower"] if no_flower else []
        _start_detached(ctx, loaded, [*options, "--stop-timeout", f"{stop_timeout:g}"])
        return
    _run(ctx, loaded, pools, stop_timeout=stop_timeout, has_flower=not no_flower)


@click.command()
@click.option(
    "--timeout",
    type=Seconds(min=0),
    metavar="SECONDS",
    help="How long workers may finish what they run; unset: as `up` was told.",
)
def down(timeout: float | None) -> None:
    """End the stack of this folder, and wait until it is gone.

    Workers finish what they run; what takes longer is cut short, goes back to the queue, and runs
    again with the next stack. It is fine if no stack runs.

    \b
    Examples:
      datamcp down
      datamcp down --timeout 5
    """  # noqa: D301  click's mark for text that is not re-wrapped
    from datamcp.stack.ending import end

    folder = session().load().config.system.state_dir
    record = end(folder, timeout)
    if record is None:
        click.echo(f"no stack runs from {near(folder)}")
        return
    names = ", ".join(process.name for process in record.processes)
    click.echo(f"stopped: {names or 'nothing had been started'} (pid {record.pid})")


def _pools(loaded: Loaded, only: Sequence[str]) -> list[str]:
    """Return the pools to start; raises UsageError for one that is not switched on."""
    pools = [PIPELINES, *loaded.config.agents]
    for name in only:
        if name not in pools:
            hint = did_you_mean(name, pools) or f"; there are {', '.join(pools)}"
            raise click.UsageError(f"no agent type {name!r} is switched on{hint}")
    return [pool for pool in pools if not only or pool in only]


def _run(
    ctx: click.Context,
    loaded: Loaded,
    pools: Sequence[str],
    *,
    stop_timeout: float,
    has_flower: bool,
) -> None:
    from datamcp.stack.keeper import Keeper
    from datamcp.stack.process import beat, flower, worker
    from datamcp.stack.requests import Requests
    from datamcp.stack.stack import Stack

    address = _flower_address(loaded) if has_flower else None
    processes: list[Process] = [*map(worker, pools), beat()]
    if address is not None:
        processes.append(flower(address.port))
    stack = Stack(loaded.config, processes, overrides=session().overrides, keeps_messages=True)
    with Requests() as requests:
        with stack, running_on(stack) as runtime:
            keeper = Keeper(
                stack, runtime, requests, say=_say, flower=address, stop_timeout=stop_timeout
            )
            keeper.start()
            introduce(keeper.record)
            keeper.run()
        _say("everything is stopped")
        if requests.first is signal.SIGINT:
            ctx.exit(INTERRUPTED)


def _start_detached(ctx: click.Context, loaded: Loaded, options: Sequence[str]) -> None:
    from datamcp.stack.detached import DetachedStack
    from datamcp.stack.requests import Requests

    with Requests() as requests:
        started = DetachedStack(loaded.config.system.state_dir, options, session().environment())
        record = started.await_ready(lambda: requests.count > 0)
    if record is None:
        click.echo("interrupted; the stack was ended", err=True)
        ctx.exit(INTERRUPTED)
    introduce(record)
    took = (record.ready_at or record.started_at) - record.started_at
    click.echo(f"ready after {took.total_seconds():.1f} s; {session().command('down')} ends it")


def _flower_address(loaded: Loaded) -> "Address":
    """Return where Flower is to listen: if its usual port is taken, at any that is free."""
    from datamcp.stack.inquiry import Address
    from datamcp.stack.ports import choose

    settings = loaded.config.monitoring
    is_fixed = loaded.origins[_FLOWER_PORT].kind is not OriginKind.DEFAULT
    port = choose(settings.flower_address, settings.flower_port, is_fixed=is_fixed)
    return Address(settings.flower_address, port)


@contextmanager
def running_on(stack: "Stack") -> "Iterator[Runtime]":
    """Give a runtime on a stack's broker, and tell at once if one of its services is away."""
    from datamcp.config.loader import load
    from datamcp.public import connect

    overrides = {**session().overrides, "broker.url": stack.broker_url}
    with connect(load(overrides=overrides).config) as runtime:
        runtime.depths.ready(PIPELINES)  # a broker that is away is told now, not in a worker's log
        yield runtime


def introduce(record: "StackRecord") -> None:
    """Print what runs, and where."""
    from datamcp.stack.process import Kind

    def listed(kind: Kind) -> str:
        return ", ".join(f"{p.name} (pid {p.pid})" for p in record.processes if p.kind is kind)

    lines = [
        ("broker", redact_url(record.broker_url or "")),
        ("ledger", redact_url(record.database_url or "")),
        ("flower", record.flower_url),
        ("workers", listed(Kind.WORKER)),
        ("beat", listed(Kind.BEAT)),
        ("logs", near(record.logs)),
    ]
    with suppress(OSError):
        show(fields_table(lines))


def _say(line: str) -> None:
    """Write a line of what happens; a stack outlives whoever reads it."""
    with suppress(OSError):
        click.echo(f"{SystemClock().now().astimezone():%Y-%m-%d %H:%M:%S}  {line}")


def near(path: Path) -> str:
    """Return a path as seen from the current folder."""
    full, here = path.absolute(), Path.cwd()
    return str(full.relative_to(here) if full.is_relative_to(here) else full)
