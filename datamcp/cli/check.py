"""`datamcp check`: is everything there that the configuration names, and does it answer."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click
from pydantic import BaseModel
from rich.table import Table
from rich.text import Text

from datamcp.cli.group import WRONG_INPUT
from datamcp.cli.output import counted, json_option, print_json, show
from datamcp.cli.session import session
from datamcp.config.redaction import redact_url
from datamcp.config.settings import GlobalConfig
from datamcp.errors import DatamcpError
from datamcp.storage.filesystem import EXTRA

if TYPE_CHECKING:
    from datamcp.bootstrap.runtime import Runtime

_COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


class Finding(BaseModel):
    """What `check` found out about one thing; `level` is ok, warning or error."""

    name: str
    level: str
    message: str
    exit_code: int = 0


@click.command()
@json_option
@click.pass_context
def check(ctx: click.Context, as_json: bool) -> None:
    """Check the configuration, the agents, and all services.

    Nothing is changed. Exit code 0: all is well, or there are only warnings. 2: something is
    configured wrongly. 3: a service does not answer.

    \b
    Examples:
      datamcp check
      datamcp check --json | jq '.[] | select(.level != "ok")'
    """  # noqa: D301  click's mark for text that is not re-wrapped
    findings = list(_findings())
    if as_json:
        print_json(findings)
    else:
        show(_table(findings))
    ctx.exit(max(finding.exit_code for finding in findings))


def _findings() -> Iterator[Finding]:
    loaded = session().load()
    yield _ok(
        "configuration", f"{loaded.config.system.environment}: {', '.join(loaded.file_names)}"
    )
    for warning in loaded.warnings:
        yield _warning("configuration", str(warning))
    yield from _files(loaded.config)
    with session().parts() as runtime:
        for agent_type in loaded.config.agents:
            yield _try(f"agent {agent_type}", partial(_capabilities, runtime, agent_type))
        for problem in runtime.types.processor_problems():
            yield _error("processors", str(problem))
        yield from _schedules(runtime)
        yield from _server("database", partial(_database, runtime), partial(_unsafe_sql, runtime))
        yield _try("artifacts", runtime.artifacts.probe)
        broker = partial(_try, "broker", partial(_broker, runtime))
        yield from _server("broker", broker, partial(_unsafe_broker, runtime))


def _schedules(runtime: "Runtime") -> Iterator[Finding]:
    """Look at the schedules of the configuration: each has to be readable, and to fire something."""
    from datamcp.bootstrap.declared import declared_in_config

    declared, wrong = declared_in_config(runtime.config.schedules)
    tasks = [one for one in declared if one.target.kind == "task"]  # a pipeline needs the database
    wrong |= runtime.schedules.problems(tasks)
    for name in runtime.config.schedules:
        if name in wrong:
            yield _error("schedules", f"schedules.{name}: {wrong[name]}")
    if declared and not wrong:
        yield _ok("schedules", ", ".join(runtime.config.schedules))


def _server(
    name: str, look: Callable[[], Finding], unsafe: Callable[[], list[str]]
) -> Iterator[Finding]:
    """Look at a server and, if it answers, at settings of it that break our promises."""
    found = look()
    yield found
    if found.level == "ok":
        for caution in unsafe():
            yield _warning(name, caution)


def _unsafe_sql(runtime: "Runtime") -> list[str]:
    from datamcp.infra.durability import cautions_of_database

    return cautions_of_database(runtime.database)


def _unsafe_broker(runtime: "Runtime") -> list[str]:
    from datamcp.infra.durability import cautions_of_redis
    from datamcp.infra.redis import client_url

    url = client_url(str(runtime.config.broker.url))
    return [] if url is None else cautions_of_redis(url)


def _files(config: GlobalConfig) -> Iterator[Finding]:
    key_file, state = config.security.key_file, Path(config.system.state_dir)
    if key_file is not None and not os.access(key_file, os.R_OK):
        yield _error("key file", f"security.key_file: {key_file} is no file that can be read")
    for root in config.storage.allowed_roots:
        if isinstance(root, Path) and not root.is_dir():
            yield _warning("files", f"storage.allowed_roots: there is no folder {root}")
        elif not isinstance(root, Path) and find_spec("fsspec") is None:
            yield _warning("files", f"storage.allowed_roots: {root} needs fsspec: {EXTRA}")
    above = _nearest(state)
    if not (above.is_dir() and os.access(above, os.W_OK | os.X_OK)):
        yield _error("state folder", f"system.state_dir: {state} can't be written to")


def _capabilities(runtime: "Runtime", agent_type: str) -> str:
    names = [
        kind.name.removeprefix(f"{agent_type}.") for kind in runtime.types.served_by(agent_type)
    ]
    return ", ".join(names) or "has no capabilities"


def _database(runtime: "Runtime") -> Finding:
    from datamcp.infra import migrate

    database = runtime.database
    if database.file is not None and not database.file.exists():
        return _ok("database", f"{database.shown}, will be made at its first use")
    try:
        schema = migrate.look(database)
        if schema.found is None:
            return _warning("database", f"{database.shown} has no ledger yet: `datamcp migrate`")
        runtime.require_ledger()
    except DatamcpError as error:
        return _failed("database", error)
    return _ok("database", f"{database.shown}, ledger version {schema.found}")


def _broker(runtime: "Runtime") -> str:
    runtime.app.require_broker()
    waiting = sum(runtime.depths.ready(queue) for queue in runtime.types.queues())
    return f"{redact_url(str(runtime.config.broker.url))}, {counted(waiting, 'message')} waiting"


def _try(name: str, probe: Callable[[], str]) -> Finding:
    try:
        return _ok(name, probe())
    except DatamcpError as error:
        return _failed(name, error)


def _ok(name: str, message: str) -> Finding:
    return Finding(name=name, level="ok", message=message)


def _warning(name: str, message: str) -> Finding:
    return Finding(name=name, level="warning", message=message)


def _error(name: str, message: str) -> Finding:
    return Finding(name=name, level="error", message=message, exit_code=WRONG_INPUT)


def _failed(name: str, error: DatamcpError) -> Finding:
    return Finding(name=name, level="error", message=str(error), exit_code=error.exit_code)


def _nearest(folder: Path) -> Path:
    """Return the folder, or the next one above that exists."""
    return next(place for place in (folder, *folder.parents) if place.exists())


def _table(findings: list[Finding]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for one in findings:
        level = Text(one.level, style=_COLOURS[one.level])
        table.add_row(level, Text(one.name), Text(one.message))
    return table
