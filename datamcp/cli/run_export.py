"""`datamcp pipeline export`: a run as a document, for programs or for people."""

from pathlib import Path

import click

from datamcp.cli.output import print_json
from datamcp.cli.session import session

_STDOUT = "-"


@click.command()
@click.argument("run_id")
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "html"]),
    default="json",
    show_default=True,
    help="What to write: everything as JSON, or a page for people.",
)
@click.option(
    "--output",
    metavar="FILE|-",
    help="Where to write it. By default JSON goes to stdout, a page to RUN_ID.html.",
)
@click.option("--logs", is_flag=True, help="With the last lines that each step has logged.")
def export(run_id: str, form: str, output: str | None, logs: bool) -> None:
    """Export a run: its definition, its steps, their attempts, and what waited for what.

    The page is one file that loads nothing from anywhere: its graph, when each step ran, a table
    of the steps, their errors. It shows the run's parameters and results to whoever can read it.

    \b
    Examples:
      datamcp pipeline export 01987e6a-… | jq .status.state
      datamcp pipeline export 01987e6a-… --format html --logs
      datamcp pipeline export 01987e6a-… --format html --output run.html
    """  # noqa: D301  click's mark for text that is not re-wrapped
    with session().runtime() as runtime:
        found = runtime.exporter.export(run_id, has_logs=logs)
    if output is None and form == "html":
        output = f"{found.status.run_id}.html"
    if form == "html":
        from datamcp.pipelines.page.page import run_page

        text = run_page(found)
    elif output in {None, _STDOUT}:
        print_json(found)
        return
    else:
        text = f"{found.model_dump_json(indent=2)}\n"
    if output in {None, _STDOUT}:
        click.echo(text, nl=False)
        return
    _write(Path(str(output)), text)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"--output: {error.strerror}: {str(path)!r}") from error
    click.echo(f"wrote {path}", err=True)
