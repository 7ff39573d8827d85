"""What a capability accepts, derived from its signature and never written twice. Pure.

The caller's values are checked as JSON, strictly: `"1"` is no integer, and a name that the
signature does not have is refused. The worker turns the same JSON back into the annotated types.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, NotRequired, get_type_hints

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, PydanticSerializationError, from_json, to_json
from typing_extensions import TypedDict

from datamcp.errors import InvalidParametersError, Problem
from datamcp.naming import did_you_mean

_MAX_SHOWN = 60  # characters of a refused value that a message repeats
_MAX_PROBLEMS = 20  # that a message lists
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Parameters:
    """The parameters of one task type: their names, their types, and how they are checked."""

    def __init__(
        self,
        task_type: str,
        adapter: TypeAdapter[Any],
        names: Sequence[str],
        positional: Sequence[str] = (),
    ) -> None:
        """Take the type of all parameters together, and which may be given by position."""
        self._task_type = task_type
        self._adapter = adapter
        self.names = tuple(names)
        self._positional = tuple(positional)

    @classmethod
    def of(cls, task_type: str, function: Callable[..., Any]) -> "Parameters":
        """Derive them from a function; `self` is left out.

        Raises TypeError for a signature that JSON can't fill, such as `*args` or an annotation
        that has no JSON form.
        """
        hints = _hints(task_type, function)
        fields: dict[str, Any] = {}
        positional = []
        for name, parameter in inspect.signature(function).parameters.items():
            if name == "self":
                continue
            if parameter.kind not in {*_POSITIONAL, inspect.Parameter.KEYWORD_ONLY}:
                raise TypeError(f"{task_type}: a capability can't take *{name}")
            hint = hints.get(name, Any)
            is_required = parameter.default is inspect.Parameter.empty
            fields[name] = hint if is_required else NotRequired[hint]
            if parameter.kind in _POSITIONAL:
                positional.append(name)
        return cls(task_type, _adapter(task_type, fields), tuple(fields), positional)

    @cached_property
    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the parameters, an object."""
        return self._adapter.json_schema()

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return arguments by name, as a Python call would bind them.

        Raises InvalidParametersError for too many values, or one given twice.
        """
        if len(args) > len(self._positional):
            message = f"takes {len(self._positional)} by position, got {len(args)}"
            raise InvalidParametersError(self._task_type, [Problem("", message)])
        bound = dict(zip(self._positional, args, strict=False))
        twice = [Problem(name, "given twice") for name in bound if name in kwargs]
        if twice:
            raise InvalidParametersError(self._task_type, twice)
        return bound | dict(kwargs)

    def dump(self, values: Mapping[str, Any]) -> str:
        """Check values and return them as JSON text.

        Raises InvalidParametersError with everything that is wrong.
        """
        try:
            text = _json(dict(values))
        except (PydanticSerializationError, ValueError) as error:
            raise InvalidParametersError(self._task_type, _without_json(values)) from error
        self.load(text)
        return text.decode()

    def dump_call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """Check the arguments of a Python call and return them by name, as JSON text.

        Raises InvalidParametersError with what is wrong.
        """
        return self.dump(self.bind(args, kwargs))

    def load(self, text: str | bytes) -> Any:
        """Return checked JSON text as values of the annotated types; what is unset stays out.

        Raises InvalidParametersError with everything that is wrong.
        """
        try:
            return self._adapter.validate_json(text, strict=True)
        except ValidationError as error:
            raise InvalidParametersError(self._task_type, self._problems(error)) from error

    def errors(self, values: Mapping[str, Any]) -> list[ErrorDetails]:
        """Return what is wrong with JSON values, as pydantic tells it; nothing if they fit."""
        try:
            self._adapter.validate_json(_json(dict(values)), strict=True)
        except ValidationError as error:
            return error.errors(include_url=False)
        return []

    def parse(self, words: Mapping[str, str]) -> dict[str, Any]:
        """Return values for words from a command line: JSON where that fits, else the text."""
        return {name: self._parse_word(name, word) for name, word in words.items()}

    def _parse_word(self, name: str, word: str) -> Any:
        try:
            value = from_json(word)
        except ValueError:
            return word
        if self._fits(name, value):
            return value
        is_structure = isinstance(value, list | dict)
        return value if is_structure and not self._fits(name, word) else word

    def _fits(self, name: str, value: Any) -> bool:
        try:
            self.load(_json({name: value}))
        except InvalidParametersError as error:
            return all(problem.path.partition(".")[0] != name for problem in error.problems)
        return True

    def _problems(self, error: ValidationError) -> list[Problem]:
        items = error.errors(include_url=False)
        problems = [self._problem(dict(item)) for item in items[:_MAX_PROBLEMS]]
        if len(items) > _MAX_PROBLEMS:
            problems.append(Problem("", f"and {len(items) - _MAX_PROBLEMS} more"))
        return problems

    def _problem(self, item: dict[str, Any]) -> Problem:
        path = ".".join(str(part) for part in item["loc"])
        match item["type"]:
            case "missing":
                return Problem(path, "is required")
            case "extra_forbidden" if len(item["loc"]) == 1:
                return Problem(path, "is not a parameter" + did_you_mean(path, self.names))
        message = str(item["msg"])
        return Problem(path, message[:1].lower() + message[1:] + _got(item))


def _hints(task_type: str, function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except NameError as error:
        raise TypeError(f"{task_type}: an annotation can't be read: {error}") from error


def _json(values: Mapping[str, Any]) -> bytes:
    return to_json(values, inf_nan_mode="constants")


def _without_json(values: Mapping[str, Any]) -> list[Problem]:
    """Return a problem for each value that has no JSON form."""
    problems = []
    for name, value in values.items():
        try:
            _json({name: value})
        except (PydanticSerializationError, ValueError) as error:
            reason = str(error).removeprefix("Error serializing to JSON: ")
            problems.append(Problem(name, f"has no JSON form: {reason}"))
    return problems


def _got(item: dict[str, Any]) -> str:
    value = item.get("input")
    if not isinstance(value, str | int | float | bool | None):
        return ""
    shown = repr(value)
    return f", got {shown if len(shown) <= _MAX_SHOWN else shown[:_MAX_SHOWN] + '…'}"


def _adapter(task_type: str, fields: dict[str, Any]) -> TypeAdapter[Any]:
    # A mapping, not a model class: parameters may be called `json` or `copy`.
    make: Any = TypedDict  # its fields are known only now
    shape = make("Parameters", fields)
    shape.__pydantic_config__ = ConfigDict(extra="forbid")
    try:
        return TypeAdapter(shape)
    except PydanticUserError as error:
        raise TypeError(f"{task_type}: {error.message}") from error
