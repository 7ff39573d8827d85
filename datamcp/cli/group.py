"""Groups of commands, in which whatever goes wrong is told in a line, with the right exit code."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click

from datamcp.errors import ConfigError, DatamcpError, InvalidParametersError, InvalidPipelineError
from datamcp.naming import did_you_mean

FAILED, WRONG_INPUT, UNREACHABLE, INTERRUPTED = 1, 2, 3, 130
"""Exit codes: the work failed, wrong input, a service is unreachable, interrupted."""

_WITH_PROBLEMS = (ConfigError, InvalidPipelineError, InvalidParametersError)


class CommandGroup(click.Group):
    """A group that tells errors on stderr: one line each, never a traceback.

    `elsewhere` says of further commands where they are, as `module:function` in `datamcp.cli`: a
    command line starts at once, as it imports only what it runs.
    """

    def __init__(
        self, *args: Any, elsewhere: Mapping[str, str] | None = None, **extra: Any
    ) -> None:
        """Take the commands that are elsewhere; none of their modules is imported yet."""
        super().__init__(*args, **extra)
        self._elsewhere = dict(elsewhere or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in the order of the alphabet."""
        return sorted({*super().list_commands(ctx), *self._elsewhere})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, from its module if it is elsewhere."""
        if cmd_name not in self._elsewhere:
            return super().get_command(ctx, cmd_name)
        module, _, function = self._elsewhere[cmd_name].partition(":")
        command: click.Command = getattr(import_module(f"datamcp.cli.{module}"), function)
        return command

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Read the group's own options."""
        with _told():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        with _told():
            return super().invoke(ctx)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command; the one that was probably meant is named in the error."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            hint = did_you_mean(name, self.list_commands(ctx))
            ctx.fail(f"there is no command {name!r}{hint}")
        return super().resolve_command(ctx, args)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except DatamcpError as error:
        tell(error)
        raise click.exceptions.Exit(error.exit_code) from error
    except click.exceptions.NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        click.echo(f"Error: {_usage(error)}", err=True)
        raise click.exceptions.Exit(WRONG_INPUT) from error
    except KeyboardInterrupt as error:
        click.echo("interrupted", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from error


def tell(error: DatamcpError) -> None:
    """Write an error to stderr: one line, and one more for each problem if there are several."""
    problems = error.problems if isinstance(error, _WITH_PROBLEMS) else ()
    if len(problems) > 1:
        head = str(error).partition(":")[0]
        click.echo(f"Error: {head}: {len(problems)} problems", err=True)
        for problem in problems:
            click.echo(f"  {problem}", err=True)
    else:
        click.echo(f"Error: {error}", err=True)


def _usage(error: click.UsageError) -> str:
    """Return what is wrong with a command line, and where to read how it should be."""
    message = error.format_message().rstrip(".")
    message = message[:1].lower() + message[1:]
    return message if error.ctx is None else f"{message} (see {error.ctx.command_path} --help)"
