import inspect
import json
from collections.abc import Iterator

import pytest

from datamcp import errors
from datamcp.errors import (
    BackendUnavailable,
    BulkEnqueueError,
    CallDepthError,
    CallInterruptedError,
    ConfigError,
    DatamcpError,
    ExpressionError,
    IdempotencyConflictError,
    InvalidParametersError,
    InvalidPipelineError,
    InvalidScheduleError,
    NotDeadLetterError,
    Problem,
    QueueFullError,
    ResultTimeoutError,
    RunNotFoundError,
    ScheduleExistsError,
    ScheduleNotFoundError,
    StackError,
    TaskExecutionError,
    TaskNotFoundError,
    UnknownTaskTypeError,
)

_PROBLEMS = [Problem("a", "is required"), Problem("", "is not a mapping")]

_WITH_EVIDENCE = [
    ConfigError("two settings are wrong", _PROBLEMS),
    BackendUnavailable("broker", "connection refused"),
    StackError("research did not start", 2),
    UnknownTaskTypeError("bench.ad", "did you mean 'bench.add'?"),
    InvalidParametersError("bench.add", _PROBLEMS),
    IdempotencyConflictError("bench.add", "key", "one"),
    BulkEnqueueError(3, "a: is required"),
    QueueFullError("bench", 1000, 7),
    TaskNotFoundError("one"),
    NotDeadLetterError("one", "failed", "two"),
    TaskExecutionError("one", "worker_lost", "3 workers died while they ran it"),
    CallDepthError("bench.add", 16),
    CallInterruptedError("one"),
    ResultTimeoutError("one", 2.5, "running"),
    InvalidPipelineError("flights", _PROBLEMS),
    ExpressionError("expected a value at column 12, got 'and'", 12),
    RunNotFoundError("one"),
    ScheduleExistsError("nightly"),
    ScheduleNotFoundError("nightl", "; did you mean 'nightly'?"),
    InvalidScheduleError("61 * * * *", "minute: must be from 0 to 59, got '61'"),
]


def in_source_order() -> list[type[DatamcpError]]:
    """Return every class of error, in the order of the source."""
    found = [one for _, one in inspect.getmembers(errors, inspect.isclass)]
    ours = [one for one in found if issubclass(one, DatamcpError)]
    return sorted(ours, key=lambda one: inspect.getsourcelines(one)[1])


def branches(error: type[DatamcpError], stem: str = "") -> Iterator[str]:
    """Yield the lines of the tree below an error."""
    below = [one for one in in_source_order() if error in one.__bases__]
    for one in below:
        joint, further = ("└── ", "    ") if one is below[-1] else ("├── ", "│   ")
        yield f"{stem}{joint}{one.__name__}"
        yield from branches(one, stem + further)


def test_the_tree_that_is_drawn_is_the_tree_of_classes() -> None:
    """The drawing in the module's docstring has every error, under its parent."""
    start = str(errors.__doc__).index("DatamcpError\n")
    picture = str(errors.__doc__)[start:].partition("\n\n")[0].splitlines()
    assert sorted(picture) == sorted(["DatamcpError", *branches(DatamcpError)])


def test_each_kind_has_a_code_of_its_own() -> None:
    """In results, JSON and the ledger, errors of two kinds can be told apart."""
    codes = [one.code for one in in_source_order()]
    assert sorted(codes) == sorted(set(codes))


@pytest.mark.parametrize("error", _WITH_EVIDENCE, ids=lambda error: type(error).__name__)
def test_an_error_survives_json(error: DatamcpError) -> None:
    """Made anew from its arguments as JSON, as Celery does it, it says and holds the same."""
    again = type(error)(*json.loads(json.dumps(error.args)))
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_every_error_with_evidence_is_tested() -> None:
    """The list above has each class that takes more than a message."""
    special = {one for one in in_source_order() if "__init__" in vars(one)} - {DatamcpError}
    assert special == {type(error) for error in _WITH_EVIDENCE}
