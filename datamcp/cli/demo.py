"""`datamcp demo`: the main job on real data, with the real processes, start to end."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from datamcp.cli.group import FAILED
from datamcp.cli.output import console, json_option, messages, print_json
from datamcp.cli.parameters import Seconds
from datamcp.cli.session import session
from datamcp.pipelines.loader import load as load_pipeline
from datamcp.pipelines.status import RunState
from datamcp.tasks.queues import PIPELINES

if TYPE_CHECKING:
    from datamcp.bootstrap.runtime import Runtime
    from datamcp.stack.stack import Stack

STARTS = {"flights": timedelta(), "market": timedelta(seconds=6)}
"""The pipelines of the demo, and how long after its begin each is to begin."""

AGENTS = ("research", "trading")


@click.command()
@click.argument("pipelines", nargs=-1, type=click.Choice(list(STARTS)), metavar="[PIPELINE]...")
@click.option(
    "--timeout",
    type=Seconds(min=1),
    default=50.0,
    show_default=True,
    metavar="SECONDS",
    help="How long the runs may take.",
)
@json_option
@click.pass_context
def demo(ctx: click.Context, pipelines: tuple[str, ...], timeout: float, as_json: bool) -> None:
    """Run the pipelines `flights` and `market` on real data.

    Starts a broker, the worker pools `pipelines`, `research` and `trading`, and beat; registers
    the pipelines; triggers `flights` at once, and `market` for an instant some seconds later, at
    which beat starts it; shows them live, prints what they found, and stops everything that it
    started. The broker is the configured one, else an embedded Valkey; the ledger is the configured
    database, else a SQLite file in the state folder, where the runs stay.

    \b
    Examples:
      datamcp demo
      datamcp demo flights
      datamcp demo --json | jq '.[0].tasks.overall.output'
      DATAMCP_BROKER__URL=redis://127.0.0.1:6379/0 datamcp demo
    """  # noqa: D301  click's mark for text that is not re-wrapped
    from datamcp.cli.demo_run import DemoRun
    from datamcp.stack.process import beat, worker
    from datamcp.stack.requests import Requests
    from datamcp.stack.stack import Stack

    shown = messages() if as_json else console()
    loaded = session().load()
    session().warn()
    starts = {name: STARTS[name] for name in STARTS if name in (pipelines or STARTS)}
    folder = loaded.directory / "pipelines"
    definitions = [load_pipeline(folder / f"{name}.yaml") for name in starts]
    processes = [worker(PIPELINES, 2), *(worker(agent, 1) for agent in AGENTS), beat()]
    stack = Stack(loaded.config, processes, overrides=session().overrides)
    with Requests() as requests:
        with stack, _runtime(stack) as runtime:
            run = DemoRun(stack, runtime, requests, shown, command=session().command)
            for definition in definitions:
                runtime.pipelines.sync.register_pipeline(definition)
            run.start()
            run.introduce()
            ended = run.follow(starts, timeout)
            if as_json:
                print_json(ended)
            else:
                run.show_punctuality(ended)
            for status in ended:
                requests.obey()
                if status.state is RunState.SUCCEEDED and not as_json:
                    run.show_results(status)
        requests.obey()
    shown.print("everything that was started is stopped")
    failed = [status for status in ended if status.state is not RunState.SUCCEEDED]
    for status in failed:
        click.echo(f"Error: run {status.run_id} {status.state}: {status.error_message}", err=True)
    if failed:
        ctx.exit(FAILED)


@contextmanager
def _runtime(stack: "Stack") -> "Iterator[Runtime]":
    """Give a runtime on the stack's broker."""
    from datamcp.config.loader import load
    from datamcp.public import connect

    overrides = {**session().overrides, "broker.url": stack.broker_url}
    with connect(load(overrides=overrides).config) as runtime:
        runtime.depths.ready(PIPELINES)  # a broker that is away is told now, not in a worker's log
        yield runtime
