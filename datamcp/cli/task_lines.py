"""Tasks from a file, one a line, as `datamcp task enqueue --from` takes them."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from datamcp.errors import BulkEnqueueError
from datamcp.tasks.task import Task


@dataclass(frozen=True, slots=True)
class TaskLines:
    """The tasks of a file, and where in it each of them stands."""

    source: str
    tasks: list[Task]
    numbers: list[int]

    @contextmanager
    def located(self) -> Iterator[None]:
        """Say of a task that is refused which line it is; raises click.UsageError."""
        try:
            yield
        except BulkEnqueueError as error:
            raise _wrong(self.source, self.numbers[error.index], error.reason) from error


def read_tasks(path: str, task_type: str | None) -> TaskLines:
    """Read a file of JSON objects, one a line, with the fields of a Task; `-` is stdin.

    Lines without a `task_type` are of the one that is given. Raises click.UsageError, which names
    the line.
    """
    source = "stdin" if path == "-" else path
    tasks, numbers = [], []
    for number, line in enumerate(_lines(path), start=1):
        if line.strip():
            tasks.append(_task(source, number, line, task_type))
            numbers.append(number)
    return TaskLines(source, tasks, numbers)


def _lines(path: str) -> list[str]:
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"--from: {error.strerror}: {error.filename!r}") from error
    except ValueError as error:
        raise click.UsageError(f"--from: {path} is not UTF-8: {error}") from error
    return text.split("\n")  # JSON may hold what Python takes for the end of a line


def _task(source: str, number: int, line: str, task_type: str | None) -> Task:
    try:
        fields: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _wrong(source, number, f"not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise _wrong(source, number, "a task is a JSON object")
    if task_type is not None:
        fields.setdefault("task_type", task_type)
    try:
        # As JSON: an instant is a text there.
        return Task.model_validate_json(json.dumps(fields))
    except ValidationError as error:
        raise _wrong(source, number, first_problem(error)) from error


def first_problem(error: ValidationError) -> str:
    """Return the first thing that a task's own fields have wrong."""
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"


@contextmanager
def as_usage() -> Iterator[None]:
    """Turn what a task itself refuses, such as a key that is too long, into a usage error."""
    try:
        yield
    except ValidationError as error:
        raise click.UsageError(first_problem(error)) from error


def _wrong(source: str, number: int, message: str) -> click.UsageError:
    return click.UsageError(f"{source}, line {number}: {message}; nothing was enqueued")
