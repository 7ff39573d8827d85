"""What every command shares: the configuration, the runtime, and how an error becomes a line."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import click

from datamcp.bootstrap.apps import exit_code_of, make_importable
from datamcp.bootstrap.runtime import Runtime
from datamcp.config.loader import Loaded, load
from datamcp.errors import ConfigError, DatamcpError, InvalidParametersError, InvalidPipelineError
from datamcp.public import connect

FAILED, WRONG_INPUT, UNREACHABLE, INTERRUPTED = 1, 2, 3, 130
"""Exit codes: the work failed, wrong input, a service is unreachable, interrupted."""


class Session:
    """One run of the command line. `overrides` are the settings given with `--set`."""

    def __init__(self, overrides: Mapping[str, str] | None = None) -> None:
        """Take the overrides; nothing is read yet."""
        self.overrides = dict(overrides or {})

    @cached_property
    def loaded(self) -> Loaded:
        """The configuration; raises ConfigError."""
        return load(overrides=self.overrides)

    def load(self) -> Loaded:
        """Return the configuration; raises ConfigError."""
        return self.loaded

    @contextmanager
    def runtime(self) -> Iterator[Runtime]:
        """Give the runtime, on a ledger that fits, and close it."""
        # What a command has to say it says itself; a log line beside it would be said twice.
        logging.getLogger("datamcp").addHandler(logging.NullHandler())
        with connect(self.loaded.config) as runtime:
            yield runtime


def session() -> Session:
    """Return the session of the current command, also where Celery's own command runs it."""
    context = click.get_current_context()
    found = context.find_object(Session)
    if found is None:
        found = Session()
        make_importable()
    return found


class CommandGroup(click.Group):
    """A group whose commands end with one clear message and the right exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what went wrong is told on stderr, never as a traceback."""
        try:
            return super().invoke(ctx)
        except DatamcpError as error:
            tell(error)
            ctx.exit(exit_code_of(error))
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(INTERRUPTED)


def tell(error: DatamcpError) -> None:
    """Write an error to stderr: one line, and one more for each problem if there are several."""
    problems = (
        error.problems
        if isinstance(error, ConfigError | InvalidPipelineError | InvalidParametersError)
        else ()
    )
    if len(problems) > 1:
        head = str(error).partition(":")[0]
        click.echo(f"Error: {head}: {len(problems)} problems", err=True)
        for problem in problems:
            click.echo(f"  {problem}", err=True)
    else:
        click.echo(f"Error: {error}", err=True)
