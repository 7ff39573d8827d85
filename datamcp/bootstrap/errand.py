"""`python -m datamcp.bootstrap.errand probe|clean`: asks the artifact store, or removes old files.

It has the configuration of whoever starts it, and ends with the exit code of a command.
"""

import sys
from collections.abc import Callable

import click

from datamcp.bootstrap.runtime import Runtime, build
from datamcp.config.loader import load
from datamcp.errors import DatamcpError

VERBS: dict[str, Callable[[Runtime], object]] = {
    "probe": lambda runtime: runtime.artifacts.probe(),
    "clean": lambda runtime: runtime.old_runs.clean(),
}


def main(verb: str) -> int:
    """Do what a verb says; return the exit code, after one line that tells what went wrong."""
    try:
        with build(load().config) as runtime:
            VERBS[verb](runtime)
    except DatamcpError as error:
        click.echo(str(error), err=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
