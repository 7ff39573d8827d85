"""`datamcp pipeline lineage`: which step of a run wrote what, and from what."""

from functools import partial

import click
from rich.table import Table

from datamcp.cli.output import json_option, print_json, show
from datamcp.cli.session import session
from datamcp.pipelines.lineage import StepLineage, columns_in, lineage_of

_SHOWN = 6  # columns that a row of the table names


@click.command()
@click.argument("run_id")
@json_option
def lineage(run_id: str, as_json: bool) -> None:
    """Show what the steps of a run have written: files, rows, columns, and from which steps.

    \b
    Examples:
      datamcp pipeline lineage 01987e6a-…
      datamcp pipeline lineage 01987e6a-… --json | jq '.[] | {step_id, path, columns}'
    """  # noqa: D301  click's mark for text that is not re-wrapped
    with session().runtime() as runtime:
        pipelines = runtime.pipelines.sync
        status = pipelines.monitor_execution(run_id)
        definition = pipelines.definition_of(run_id)
        found = lineage_of(status, definition, partial(columns_in, runtime.artifacts))
    if as_json:
        print_json(found)
    elif found:
        show(_table(found))
    else:
        click.echo("no step of the run has written a file")


def _table(found: list[StepLineage]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("step", "from", "rows", "bytes", "columns", "file"):
        table.add_column(name, justify="right" if name in {"rows", "bytes"} else "left")
    for one in found:
        table.add_row(
            one.step_id,
            ", ".join(one.read_from),
            "" if one.records is None else f"{one.records:,}",
            "" if one.bytes is None else f"{one.bytes:,}",
            _columns(one),
            one.path,
        )
    return table


def _columns(one: StepLineage) -> str:
    names = list(one.columns or ())
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
