"""Groups of commands, in which whatever goes wrong is told in a line, with the right exit code."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from datamcp.errors import ConfigError, DatamcpError, InvalidParametersError, InvalidPipelineError
from datamcp.naming import did_you_mean

FAILED, WRONG_INPUT, UNREACHABLE, INTERRUPTED = 1, 2, 3, 130
"""Exit codes: the work failed, wrong input, a service is unreachable, interrupted."""

_WITH_PROBLEMS = (ConfigError, InvalidPipelineError, InvalidParametersError)


class CommandGroup(click.Group):
    """A group that tells errors on stderr: one line each, never a traceback."""

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
