"""What commands are given: parameters, as words or as a document, how long to wait, and when."""

import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


class Seconds(click.FloatRange):
    """A finite number of seconds."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read a number; `inf` and `nan` are none."""
        number = super().convert(value, param, ctx)
        if not abs(number) < float("inf"):
            self.fail(f"{value!r} is not a number of seconds.", param, ctx)
        return number


def parameter_options(command: F) -> F:
    """Add the options to a command, which receives them as `pairs` and `document`."""
    command = click.option(
        "--parameters",
        "document",
        metavar="JSON|@FILE|-",
        help="All parameters as one JSON object: inline, from a file, or from stdin.",
    )(command)
    return click.option(
        "-p",
        "--parameter",
        "pairs",
        metavar="NAME=VALUE",
        multiple=True,
        help="One parameter; may be repeated. A value is read as JSON where that fits the "
        "parameter's type, else as text.",
    )(command)


def wait_options(command: F) -> F:
    """Add the options to a command, which receives them as `wait` and `timeout`."""
    command = click.option(
        "--timeout",
        type=Seconds(min=0),
        metavar="SECONDS",
        help="How long to wait at most; for ever by default. Implies --wait.",
    )(command)
    return click.option("--wait", is_flag=True, help="Wait for the end, and show how it ended.")(
        command
    )


def read_pairs(pairs: Sequence[str]) -> dict[str, str]:
    """Return `name=value` words by name; raises click.UsageError."""
    words: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise click.UsageError(f"-p takes NAME=VALUE, got {pair!r}")
        if name in words:
            raise click.UsageError(f"parameter {name!r} is given twice")
        words[name] = value
    return words


def read_document(document: str | None) -> dict[str, Any]:
    """Return the JSON object of `--parameters`; raises click.UsageError."""
    if document is None:
        return {}
    value = read_json(document, "--parameters")
    if not isinstance(value, dict):
        raise click.UsageError("--parameters must be a JSON object")
    return value


def read_json(document: str, option: str) -> Any:
    """Return an option's JSON: inline, of `@file`, or of stdin (`-`); raises click.UsageError."""
    try:
        return json.loads(_text(document))
    except OSError as error:
        raise click.UsageError(f"{option}: {error.strerror}: {error.filename!r}") from error
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"{option} is not JSON: {error}") from error


def read_instant(text: str | None, option: str = "--at") -> datetime | None:
    """Return an option's ISO 8601 instant; one without a zone is local. Raises click.UsageError."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise click.UsageError(f"{option} takes an ISO 8601 instant, got {text!r}") from error


def _text(document: str) -> str:
    if document == "-":
        return sys.stdin.read()
    if document.startswith("@"):
        return Path(document[1:]).read_text(encoding="utf-8")
    return document
