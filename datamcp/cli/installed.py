"""What commands know of the processors and capabilities that pipelines may name here."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import click

from datamcp.cli.session import session
from datamcp.errors import ConfigError, DatamcpError, UnknownTaskTypeError
from datamcp.pipelines.configurations import Checked
from datamcp.tasks.queues import PIPELINES, split_task_type

if TYPE_CHECKING:
    from datamcp.bootstrap.runtime import Runtime
    from datamcp.pipelines.configurations import Finder


def finder(runtime: "Runtime") -> "Finder":
    """Return what tells the parameters of all that there is here; any other name is refused."""
    return runtime.types.accepted


@contextmanager
def lenient_finder() -> "Iterator[Finder | None]":
    """Give what tells the parameters of what is here; agents that are not here may be elsewhere.

    Agents whose modules can't be imported are taken as such. Where the configuration is wrong,
    that is said, and None is given.
    """
    with ExitStack() as stack:
        try:
            runtime = stack.enter_context(session().parts())
        except ConfigError as error:
            click.echo(f"warning: what processors accept was not checked: {error}", err=True)
            yield None
            return
        yield _lenient(runtime)


def _lenient(runtime: "Runtime") -> "Finder":
    types = runtime.types
    groups = {split_task_type(kind.name)[0] for kind in types.served_by(PIPELINES)}
    here = groups | set(runtime.config.agents)

    def find(name: str) -> Checked | None:
        try:
            accepted = types.accepted(name) if split_task_type(name)[0] in here else None
        except UnknownTaskTypeError:
            raise
        except DatamcpError:
            return None
        return None if accepted is None else _Form(accepted)

    return find


class _Form:
    """What something accepts, whatever is configured here, such as connections."""

    def __init__(self, accepted: Checked) -> None:
        self.names = accepted.names
        self.errors = accepted.errors
