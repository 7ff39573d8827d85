"""What is left of a malformed definition, so that the rest of it can be checked, too. Pure."""

from collections.abc import Iterable
from copy import deepcopy
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from datamcp.pipelines.complaint import Place, is_echo, place_of
from datamcp.pipelines.definition import PipelineDefinition

STAND_IN = "unnamed"
"""The processor of a step that has none."""

_SECTIONS = ("tasks", "finally")
_NEEDED = ("pipeline_id", "task_id", "processor")
_MOST_ROUNDS = 8


def salvage(value: dict[str, Any]) -> PipelineDefinition | None:
    """Return a definition without what is wrong; a stand-in takes the place of what it needs.

    Steps keep their places. None if there is no list of steps.
    """
    left = deepcopy(value)
    if not isinstance(left.get("tasks"), list) or not left["tasks"]:
        return None
    for _ in range(_MOST_ROUNDS):
        try:
            return PipelineDefinition.model_validate(left)
        except ValidationError as error:
            errors = error.errors(include_url=False)
        for one in errors:
            if not is_echo(one):
                _mend(left, one)
    return None


def _mend(left: dict[str, Any], error: ErrorDetails) -> None:
    """Leave out what one error is about, or put a stand-in there."""
    place = _within_a_step(place_of(error, left))
    if not place:
        return
    if place[0] == "parameters" and len(place) > 1 and "[key]" not in error["loc"]:
        left["parameters"][place[1]] = {"required": False}  # nobody is told to give a default
        return
    *above, last = place
    holder = _at(left, above)
    if isinstance(holder, list) and isinstance(last, int):
        holder[last] = {}
    elif not isinstance(holder, dict):
        return
    elif last in _NEEDED and error["type"] != "extra_forbidden":
        holder[str(last)] = _misspelt(holder, str(last)) or _stand_in(place)
    elif error["type"] == "missing":
        _mend(left, {**error, "type": "", "loc": tuple(above)})
    else:
        holder.pop(str(last), None)


def _within_a_step(place: Place) -> Place:
    """Return a place up to a list that is no list of steps: its other elements would move up."""
    start = 2 if place[:1] and place[0] in _SECTIONS else 0
    for index, part in enumerate(place):
        if isinstance(part, int) and index >= start:
            return place[:index]
    return place


def _at(value: Any, place: Iterable[int | str]) -> Any:
    for part in place:
        value = value[part]
    return value


def _misspelt(holder: dict[str, Any], name: str) -> str | None:
    """Return what stands under a key that was probably meant as this one."""
    if name in holder:
        return None
    near = get_close_matches(name, [key for key in holder if key not in _NEEDED], n=1, cutoff=0.6)
    value = holder[near[0]] if near else None
    return value if isinstance(value, str) else None


def _stand_in(place: Place) -> str:
    match place:
        case section, int(index), "task_id":
            return f"{STAND_IN}.{'' if section == 'tasks' else f'{section}.'}{index}"
    return STAND_IN
