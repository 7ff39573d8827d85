"""What a Celery task accepts: positional and keyword arguments, as Celery's own JSON writes them.

Celery tasks are typed by Python alone: a call has to fit the signature, and any value may come that
kombu's JSON can carry. Dates, times, UUIDs, decimals and bytes arrive as what they were; tuples
become lists. Annotations are not looked at.
"""

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, get_args, get_type_hints

from kombu.utils import json as kombu_json

from datamcp.errors import InvalidParametersError, Problem
from datamcp.naming import did_you_mean

_KEYWORDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_TAGS = {"__type__", "__value__"}


class Call(NamedTuple):
    """The arguments of one call."""

    args: list[Any]
    kwargs: dict[str, Any]


class Arguments:
    """The arguments of one Celery task: which there are, and how a call is kept."""

    def __init__(
        self, task_type: str, function: Callable[..., Any], *, checks: bool = True
    ) -> None:
        """Take the function, bound if it has a `self`; `checks` is Celery's `typing`."""
        self._task_type = task_type
        self._function = function
        self._signature = _signature(function)
        self._checks = checks and self._signature is not None

    @property
    def names(self) -> Sequence[str]:
        """Return what may be given by name, without what `**kwargs` takes."""
        parameters = self._signature.parameters.values() if self._signature else ()
        return tuple(one.name for one in parameters if one.kind in _KEYWORDS)

    def dump(self, values: Mapping[str, Any]) -> str:
        """Return a call whose arguments are given by name as JSON text; raises as `dump_call`."""
        return self.dump_call((), values)

    def dump_call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """Check a call and return it as JSON text.

        Raises InvalidParametersError if the signature does not take it, or a value has no JSON form.
        """
        self._require_fit(args, kwargs)
        try:
            return _dumps({"args": list(args), "kwargs": dict(kwargs)})
        except (TypeError, ValueError) as error:
            problems = list(_without_json(args, kwargs)) or [Problem("", str(error))]
            raise InvalidParametersError(self._task_type, problems) from error

    def load(self, text: str) -> Call:
        """Return a call from its JSON text."""
        kept = kombu_json.loads(text)  # type: ignore[no-untyped-call]
        return Call(kept["args"], kept["kwargs"])

    def parse(self, words: Mapping[str, str]) -> dict[str, Any]:
        """Return values for words from a command line: JSON where it is some, else the text.

        What is annotated as text stays text.
        """
        hints = _hints(self._function)
        return {name: _parse(word, hints.get(name)) for name, word in words.items()}

    def _require_fit(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        if not self._checks or self._signature is None:
            return
        try:
            self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise InvalidParametersError(self._task_type, [self._problem(error)]) from error

    def _problem(self, error: TypeError) -> Problem:
        message = str(error)
        found = re.search(r"'(\w+)'", message)
        name = found[1] if found else ""
        if "missing" in message:
            return Problem(name, "is required")
        if "unexpected" in message:
            return Problem(name, "is not a parameter" + did_you_mean(name, self.names))
        if "multiple values" in message:
            return Problem(name, "given twice")
        return Problem("", message)


def result_text(value: Any) -> str:
    """Return what a Celery task returned as plain JSON text, for reading: dates as ISO 8601.

    Raises TypeError or ValueError for what Celery's JSON could not carry either.
    """
    text = _dumps(value)
    return json.dumps(_untagged(json.loads(text))) if '"__type__"' in text else text


def _dumps(value: Any) -> str:
    text: str = kombu_json.dumps(value)  # type: ignore[no-untyped-call]
    return text


def _untagged(value: Any) -> Any:
    match value:
        case list():
            return [_untagged(item) for item in value]
        case {"__type__": "uuid", "__value__": {"hex": hexadecimal}} if value.keys() == _TAGS:
            return _with_dashes(hexadecimal)
        case {"__value__": inner} if value.keys() == _TAGS:
            return _untagged(inner)
        case dict():
            return {name: _untagged(item) for name, item in value.items()}
    return value


def _with_dashes(hexadecimal: str) -> str:
    ends = (0, 8, 12, 16, 20, 32)
    return "-".join(hexadecimal[a:b] for a, b in pairwise(ends))


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):  # built in, or otherwise without one
        return None


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(inspect.unwrap(function))
    except (NameError, TypeError, ValueError):  # a stranger's annotations may be anything
        return {}


def _parse(word: str, hint: Any) -> Any:
    if hint is str or set(get_args(hint)) == {str, type(None)}:
        return word
    try:
        return json.loads(word)
    except ValueError:
        return word


def _without_json(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[Problem]:
    for name, value in [*((f"[{place}]", one) for place, one in enumerate(args)), *kwargs.items()]:
        try:
            _dumps(value)
        except (TypeError, ValueError) as error:
            yield Problem(str(name), f"has no JSON form: {error}")
