"""A pipeline's YAML file as a definition, with everything that is wrong with it at once."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, to_json

from datamcp.errors import InvalidPipelineError, Problem
from datamcp.pipelines.check import check
from datamcp.pipelines.complaint import Place, is_echo, message, path_of, place_of
from datamcp.pipelines.configurations import Finder
from datamcp.pipelines.definition import PipelineDefinition
from datamcp.pipelines.document import Document, read
from datamcp.pipelines.salvage import STAND_IN, salvage

MAX_BYTES = 8_000_000


def load(
    path: str | Path,
    *,
    known: Collection[str] | None = None,
    find: Finder | None = None,
    most_retries: int | None = None,
) -> PipelineDefinition:
    """Return the pipeline that a file defines.

    `known` holds the task types of all agents and processors, if `processor` is to be checked;
    `find` tells what they accept, if `configuration` is to be checked, too. `most_retries` is how
    many a step may ask for. Raises InvalidPipelineError with every problem, each with its file,
    line and path.
    """
    text = _text(Path(path))
    return parse(text, source=str(path), known=known, find=find, most_retries=most_retries)


def parse(
    text: str,
    *,
    source: str = "<text>",
    known: Collection[str] | None = None,
    find: Finder | None = None,
    most_retries: int | None = None,
) -> PipelineDefinition:
    """Return the pipeline that a YAML text defines; `source` is what problems name as the file.

    Raises InvalidPipelineError as `load` does.
    """
    document = read(text)
    definition, wrong_form = _validate(document)
    if wrong_form:
        known = None if known is None else {*known, STAND_IN}
        find = None if find is None else _unless_stand_in(find)
    wrong_whole = (
        check(definition, known, find=find, most_retries=most_retries) if definition else []
    )
    problems = _one_voice(document.problems, wrong_form, wrong_whole)
    if problems or definition is None:
        raise InvalidPipelineError(source, _located(problems, document, source))
    return definition


def _unless_stand_in(find: Finder) -> Finder:
    return lambda name: None if name == STAND_IN else find(name)


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
    definition: PipelineDefinition | None
    errors: list[ErrorDetails] = []
    try:
        definition = PipelineDefinition.model_validate(value)
    except ValidationError as error:
        definition, errors = salvage(value), error.errors(include_url=False)
    strict = _strict_errors(value)
    told = {place_of(error, value) for error in strict}
    errors = strict + [error for error in errors if place_of(error, value) not in told]
    placed = [(place_of(error, value), error) for error in errors if not is_echo(error)]
    problems = [
        Problem(path_of(place), message(place, error, _keys(place[:-1]))) for place, error in placed
    ]
    return definition, problems


def _strict_errors(value: dict[str, Any]) -> list[ErrorDetails]:
    # Neither a number in quotes nor true is a number. Where it is strict, only JSON has its lists
    # taken for tuples; and only Python knows numbers that are not finite.
    try:
        text = to_json(value, inf_nan_mode="constants")
        PipelineDefinition.model_validate_json(text, strict=True)
    except ValidationError as error:
        return error.errors(include_url=False)
    return []


def _one_voice(
    unread: Sequence[Problem], wrong_form: Sequence[Problem], wrong_whole: Sequence[Problem]
) -> list[Problem]:
    # Where the form of a value is wrong, what follows from it is not worth a second line.
    blamed = {problem.path for problem in unread if problem.path}
    problems = [*unread, *(problem for problem in wrong_form if problem.path not in blamed)]
    blamed |= {problem.path for problem in wrong_form if problem.path}
    above = tuple(
        f"{problem.path}{mark}" for problem in wrong_form for mark in ".[" if problem.path
    )
    problems += [
        problem
        for problem in wrong_whole
        if problem.path not in blamed and not problem.path.startswith(above)
    ]
    return problems


def _located(problems: Iterable[Problem], document: Document, source: str) -> list[Problem]:
    lined = sorted(((document.line(path), path, text) for path, text in problems), key=_line)
    return [Problem(f"{source}:{line} {path}".rstrip(), text) for line, path, text in lined]


def _line(lined: tuple[int, str, str]) -> int:
    return lined[0]


def _keys(place: Place) -> list[str]:
    # The keys that the model at this place has.
    model: type[BaseModel] = PipelineDefinition
    for part in place:
        fields = {field.alias or name: field for name, field in model.model_fields.items()}
        field = fields.get(str(part))
        model = next(_models(field.annotation), model) if field else model
    return [field.alias or name for name, field in model.model_fields.items()]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)
