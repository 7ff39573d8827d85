"""What every command shares: the configuration and the runtime. Heavy parts are imported late."""

import logging
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click

from datamcp.config.loader import Loaded, load
from datamcp.config.redaction import redact
from datamcp.config.text import child_environment

if TYPE_CHECKING:
    from datamcp.bootstrap.runtime import Runtime


class Session:
    """One run of the command line. `overrides` are the settings given with `--set`."""

    def __init__(self, overrides: Mapping[str, str] | None = None) -> None:
        """Take the overrides; nothing is read yet."""
        self.overrides = dict(overrides or {})
        # What a command has to say it says itself; a log line beside it would be said twice.
        logging.getLogger("datamcp").addHandler(logging.NullHandler())

    @cached_property
    def loaded(self) -> Loaded:
        """The configuration; raises ConfigError."""
        return load(overrides=self.overrides)

    def load(self) -> Loaded:
        """Return the configuration; raises ConfigError."""
        return self.loaded

    def warn(self) -> None:
        """Write to stderr what is allowed and yet dangerous in the configuration."""
        for warning in self.loaded.warnings:
            click.echo(f"warning: {warning}", err=True)

    @contextmanager
    def runtime(self) -> "Iterator[Runtime]":
        """Give the runtime, on a ledger that fits, and close it."""
        from datamcp.bootstrap.apps import make_importable
        from datamcp.public import connect

        make_importable()
        with connect(self.loaded.config) as runtime:
            yield runtime

    @contextmanager
    def parts(self) -> "Iterator[Runtime]":
        """Give the runtime before any service was asked, and close it."""
        from datamcp.bootstrap.apps import make_importable
        from datamcp.bootstrap.runtime import build

        make_importable()
        with build(self.loaded.config) as runtime:
            yield runtime

    def environment(self) -> dict[str, str]:
        """Return the environment in which another program of ours has the same settings."""
        self.load()
        return child_environment(self.overrides)

    def command(self, words: str) -> str:
        """Return what to type in this folder, now and here, to run another command."""
        return " ".join([_program(), *self._options(), words])

    def _options(self) -> Iterator[str]:
        for name, text in self.overrides.items():
            if redact(text, name) == text:
                yield f"--set {shlex.quote(f'{name}={text}')}"


def session() -> Session:
    """Return the session of the current command, also where Celery's own command runs it."""
    found = click.get_current_context().find_object(Session)
    return Session() if found is None else found


def _program() -> str:
    """Return how this program is called from here: by its name, where that finds it."""
    program = Path(sys.argv[0]).absolute()
    on_path = shutil.which("datamcp")
    if program.name == "__main__.py":
        return "python -m datamcp"
    if program.name != "datamcp" or (on_path and Path(on_path).samefile(program)):
        return "datamcp"
    here = Path.cwd()
    return str(program.relative_to(here) if program.is_relative_to(here) else program)
