"""A pipeline's YAML file as a definition, with everything that is wrong with it at once."""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from datamcp.errors import InvalidPipelineError, Problem
from datamcp.naming import did_you_mean
from datamcp.pipelines.check import check
from datamcp.pipelines.definition import PipelineDefinition
from datamcp.pipelines.document import Document, read

MAX_BYTES = 8_000_000

_MAX_SHOWN = 60  # characters of a refused value that a message repeats

_STAND_IN = "unnamed"  # the processor of a step that has none, while the rest is checked

Place = tuple[int | str, ...]
"""Where a value stands in a document, such as `("tasks", 3, "processor")`."""


def load(path: str | Path, *, known: Collection[str] | None = None) -> PipelineDefinition:
    """Return the pipeline that a file defines.

    `known` holds the task types of all agents and processors, if `processor` is to be checked.
    Raises InvalidPipelineError with every problem, each with its file, line and path.
    """
    return parse(_text(Path(path)), source=str(path), known=known)


def parse(
    text: str, *, source: str = "<text>", known: Collection[str] | None = None
) -> PipelineDefinition:
    """Return the pipeline that a YAML text defines; `source` is what problems name as the file.

    Raises InvalidPipelineError as `load` does.
    """
    document = read(text)
    definition, wrong_form = _validate(document)
    known = None if known is None else {*known, _STAND_IN} if wrong_form else known
    wrong_whole = check(definition, known) if definition else []
    problems = _one_voice(document.problems, wrong_form, wrong_whole)
    if problems or definition is None:
        raise InvalidPipelineError(source, _located(problems, document, source))
    return definition


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        text = content.decode("utf-8-sig")
    except FileNotFoundError as error:
        raise _unreadable(path, "there is no such file") from error
    except OSError as error:
        raise _unreadable(path, f"can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _unreadable(path, "is not UTF-8 text") from error
    if len(content) > MAX_BYTES:
        raise _unreadable(path, f"is larger than {MAX_BYTES} bytes")
    return text


def _unreadable(path: Path, reason: str) -> InvalidPipelineError:
    return InvalidPipelineError(str(path), [Problem("", reason)])


def _validate(document: Document) -> tuple[PipelineDefinition | None, list[Problem]]:
    # Also returns what is left of a malformed definition, so that the rest can be checked too.
    value = document.value
    if not isinstance(value, dict):
        missing = [] if document.problems else [Problem("", "must be a mapping of keys to values")]
        return None, missing
    try:
        return PipelineDefinition.model_validate(value), []
    except ValidationError as error:
        errors = error.errors(include_url=False)
    placed = [(_place(error, value), error) for error in errors]
    problems = [
        Problem(_path(place), _message(place, error))
        for place, error in placed
        if not _is_echo(error)
    ]
    return _salvage(value, [place for place, _ in placed]), problems


def _salvage(value: dict[str, Any], wrong: Iterable[Place]) -> PipelineDefinition | None:
    # What is wrong is left out; a stand-in takes the place of what can't be left out.
    left = {key: item.copy() if isinstance(item, dict) else item for key, item in value.items()}
    if not isinstance(left.get("tasks"), list):
        return None
    tasks = [task.copy() if isinstance(task, dict) else {} for task in left["tasks"]]
    for place in wrong:
        match place:
            case "tasks", int(index), str(key), *_:
                tasks[index].pop(key, None)
            case "parameters", str(key), *_:
                left["parameters"][key] = {}
            case "dependencies", str(key), *_:
                left["dependencies"].pop(key, None)
            case str(key), *_ if key != "tasks":
                left.pop(key, None)
    for index, task in enumerate(tasks):
        task.setdefault("task_id", f"{_STAND_IN}.{index}")
        task.setdefault("processor", _STAND_IN)
    left.setdefault("pipeline_id", _STAND_IN)
    try:
        return PipelineDefinition.model_validate({**left, "tasks": tasks})
    except ValidationError:
        return None


def _one_voice(*sources: Iterable[Problem]) -> list[Problem]:
    # Where the form of a value is wrong, what follows from it is not worth a second line.
    problems: list[Problem] = []
    for source in sources:
        blamed = {problem.path for problem in problems if problem.path}
        problems += [problem for problem in source if problem.path not in blamed]
    return problems


def _located(problems: Iterable[Problem], document: Document, source: str) -> list[Problem]:
    lined = sorted(((document.line(path), path, text) for path, text in problems), key=_line)
    return [Problem(f"{source}:{line} {path}".rstrip(), text) for line, path, text in lined]


def _line(lined: tuple[int, str, str]) -> int:
    return lined[0]


def _place(error: ErrorDetails, value: Any) -> Place:
    # pydantic's location also names the branches of a union, which no file has.
    place: list[int | str] = []
    for part in error["loc"]:
        is_there = (isinstance(value, dict) and part in value) or (
            isinstance(value, list) and isinstance(part, int)
        )
        if is_there:
            value = value[part]
        if is_there or (error["type"] == "missing" and part == error["loc"][-1]):
            place.append(part)
    return tuple(place)


def _is_echo(error: ErrorDetails) -> bool:
    # pydantic's complaints about what other errors, listed too, have left.
    return error["type"] == "default_factory_not_called" or (
        error["type"] == "too_short" and bool(error["input"])
    )


def _path(place: Place) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return "".join(parts).removeprefix(".")


def _message(place: Place, error: ErrorDetails) -> str:
    value = error["input"]
    match error["type"]:
        case "missing":
            return "is required"
        case "extra_forbidden":
            key = str(place[-1])
            return f"unknown key {key!r}" + did_you_mean(key, _keys(place[:-1]))
        case "string_type" if isinstance(value, int | float):
            return f"must be text, got {value!r}; put it in quotes"
        case "string_type":
            return "must be text" + _got(value)
        case "string_pattern_mismatch":
            return "may hold letters, digits, '_', '-' and '.' only" + _got(value)
        case "tuple_type":
            return "must be a list" + _got(value)
        case "dict_type" | "model_type":
            return "must be a mapping of keys to values" + _got(value)
        case "too_short":
            return "must not be empty"
        case "value_error":
            return str(error["ctx"]["error"])
    message = error["msg"].replace("Input should ", "must ")
    return message[:1].lower() + message[1:] + _got(value)


def _got(value: Any) -> str:
    if not isinstance(value, str | int | float | bool | None):
        return ""
    shown = repr(value)
    return f", got {shown if len(shown) <= _MAX_SHOWN else shown[:_MAX_SHOWN] + '…'}"


def _keys(place: Place) -> list[str]:
    # The keys that the model at this place has.
    model: type[BaseModel] = PipelineDefinition
    for part in place:
        field = model.model_fields.get(str(part))
        model = next(_models(field.annotation), model) if field else model
    return [field.alias or name for name, field in model.model_fields.items()]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)
