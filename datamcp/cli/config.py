"""`datamcp config`: what is configured, why, and whether it is right."""

import json
import sys
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from datamcp.config import GlobalConfig, Loaded, load
from datamcp.config.layer import Origin, OriginKind
from datamcp.config.text import variable_of
from datamcp.config.view import (
    Explanation,
    Row,
    default_of,
    explain,
    kind_of,
    nested,
    rows,
    text_of,
)
from datamcp.errors import ConfigError, Problem


class Loads(Protocol):
    """What the commands need of the top-level command: the configuration with its overrides."""

    def load(self) -> Loaded:
        """Return the configuration; ConfigError if it is wrong."""
        ...


@click.group("config")
def config() -> None:
    """Show, check and explain the configuration.

    Settings come from YAML files, environment variables and the command line, each over the last.
    Nothing is changed by these commands, and secrets are never shown.

    \b
    Examples:
      datamcp config show                       everything, and where it came from
      datamcp config explain storage.cache_url  one setting in full
      datamcp config validate                   all that is wrong, at once
    """  # noqa: D301  click's mark for text that is not re-wrapped


@config.command("show")
@click.argument("section", default="")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, secrets hidden.")
def show(section: str, *, as_json: bool) -> None:
    """Show what holds: every setting, its value, and where that came from.

    SECTION narrows it down to one part.

    \b
    Examples:
      datamcp config show
      datamcp config show storage
      datamcp config show agents.research
      datamcp config show --json | jq .storage.database_url
    """  # noqa: D301  click's mark for text that is not re-wrapped
    loaded = _load()
    found = rows(loaded, section)
    _warn(loaded.warnings)
    if as_json:
        _print_json(nested(loaded, section))
        return
    console = _console()
    console.print(_table(found, is_narrow=console.width < 110))
    console.print(Text(f"Files: {', '.join(loaded.file_names)}", style="dim"))


@config.command("validate")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as one JSON object.")
@click.pass_context
def validate(context: click.Context, *, as_json: bool) -> None:
    """Check the configuration and list everything that is wrong with it, at once.

    Nothing is started and no server is asked. The exit code is 0 if the configuration may be used
    (warnings go to stderr), and 2 if not.

    \b
    Examples:
      datamcp config validate
      DATAMCP_SYSTEM__ENVIRONMENT=production datamcp config validate
      datamcp config validate --json | jq '.errors[].path'
    """  # noqa: D301  click's mark for text that is not re-wrapped
    try:
        loaded = _load()
    except ConfigError as error:
        _report_errors(error, as_json=as_json)
        context.exit(2)
    if as_json:
        _print_json(_findings(loaded, []))
        return
    _warn(loaded.warnings)
    environment = loaded.config.system.environment
    click.echo(f"The configuration is valid ({environment}: {', '.join(loaded.file_names)}).")


@config.command("explain")
@click.argument("path")
@click.option("--json", "as_json", is_flag=True, help="Print the explanation as one JSON object.")
def explain_setting(path: str, *, as_json: bool) -> None:
    """Explain one setting: its meaning, its value, and all that the sources say about it.

    PATH is the setting's name with dots. The source that holds stands first; those below it were
    overridden.

    \b
    Examples:
      datamcp config explain storage.database_url
      datamcp config explain agents.research.timeout
      datamcp config explain broker.url --json
    """  # noqa: D301  click's mark for text that is not re-wrapped
    explanation = explain(_load(), path)
    if as_json:
        _print_json(_explanation_json(explanation))
    else:
        _print_explanation(explanation)


@config.command("schema")
def schema() -> None:
    """Print a JSON Schema of the configuration files, for editors and checkers.

    \b
    Example:
      datamcp config schema > datamcp.schema.json
      # then, as the first line of a YAML file:
      # yaml-language-server: $schema=datamcp.schema.json
    """  # noqa: D301  click's mark for text that is not re-wrapped
    _print_json(GlobalConfig.model_json_schema())


def _load() -> Loaded:
    loads: Loads | None = click.get_current_context().obj
    return load() if loads is None else loads.load()


def _table(found: list[Row], *, is_narrow: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("setting", overflow="fold", width=27 if is_narrow else None)
    table.add_column("value", overflow="fold")
    table.add_column("from", overflow="fold", width=24 if is_narrow else None)
    for section, members in groupby(found, key=lambda row: row.name.split(".", maxsplit=1)[0]):
        table.add_section()
        table.add_row(Text(section, style="bold"))
        for row in members:
            name = row.name.removeprefix(f"{section}.")
            table.add_row(Text(f"  {name}"), Text(text_of(row.value)), _short(row.origin))
    return table


def _short(origin: Origin) -> Text:
    """Return the origin for a table that names the files' folders below it."""
    return _origin(replace(origin, name=Path(origin.name).name))


def _origin(origin: Origin) -> Text:
    return Text(str(origin), style="dim" if origin.kind is OriginKind.DEFAULT else "green")


def _print_explanation(explanation: Explanation) -> None:
    console, setting = _console(), explanation.setting
    row = explanation.row
    console.print(Text.assemble((row.name, "bold"), " = ", (text_of(row.value), "bold green")))
    console.print(f"\n{escape(setting.description)}\n")
    facts = Table.grid(padding=(0, 2))
    facts.add_row("type", Text(kind_of(setting).replace("`", "")))
    facts.add_row("default", Text(default_of(setting)))
    facts.add_row("variable", Text(variable_of(setting.path), overflow="fold"))
    facts.add_row("from", _origin(row.origin))
    if explanation.note:
        facts.add_row("note", Text(explanation.note))
    console.print(facts)
    if len(explanation.sources) > 1:
        console.print(_sources(explanation))


def _sources(explanation: Explanation) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title="\nsources, strongest first", title_justify="left")
    table.add_column("from", overflow="fold")
    table.add_column("says", overflow="fold")
    for row in explanation.sources:
        inner = row.name.removeprefix(explanation.row.name).lstrip(".")
        says = f"{inner}: {text_of(row.value)}" if inner else text_of(row.value)
        table.add_row(_origin(row.origin), Text(says))
    return table


def _explanation_json(explanation: Explanation) -> dict[str, Any]:
    setting = explanation.setting
    return {
        "path": explanation.row.name,
        "value": explanation.row.value,
        "origin": str(explanation.row.origin),
        "description": setting.description,
        "type": kind_of(setting).replace("`", ""),
        "default": default_of(setting),
        "variable": variable_of(setting.path),
        "note": explanation.note or None,
        "sources": [
            {"path": row.name, "value": row.value, "origin": str(row.origin)}
            for row in explanation.sources
        ],
    }


def _report_errors(error: ConfigError, *, as_json: bool) -> None:
    problems = error.problems or (Problem("", str(error)),)
    if as_json:
        _print_json({"valid": False, "errors": _problems_json(problems), "warnings": []})
        return
    for problem in problems:
        click.echo(str(problem), err=True)
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    click.echo(f"The configuration has {count}.", err=True)


def _findings(loaded: Loaded, errors: list[Problem]) -> dict[str, Any]:
    return {
        "valid": not errors,
        "environment": loaded.config.system.environment,
        "files": list(loaded.file_names),
        "errors": _problems_json(errors),
        "warnings": _problems_json(loaded.warnings),
    }


def _problems_json(problems: tuple[Problem, ...] | list[Problem]) -> list[dict[str, str]]:
    return [{"path": problem.path, "message": problem.message} for problem in problems]


def _warn(warnings: tuple[Problem, ...]) -> None:
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _console() -> Console:
    return Console(file=sys.stdout, highlight=False, soft_wrap=False)
