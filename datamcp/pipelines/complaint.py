"""What pydantic finds wrong with a value, as a place in the document and in plain words. Pure."""

from collections.abc import Sequence
from typing import Any

from pydantic_core import ErrorDetails, to_json

from datamcp.naming import did_you_mean

_MAX_SHOWN = 60  # characters of a refused value that a message repeats

Place = tuple[int | str, ...]
"""Where a value stands in a document, such as `("tasks", 3, "processor")`."""


def place_of(error: ErrorDetails, value: Any) -> Place:
    """Return where in a value an error is; pydantic's location also names the branches of a union."""
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


def path_of(place: Place) -> str:
    """Return a place as it is written, such as `tasks[3].processor`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return "".join(parts).removeprefix(".")


def is_echo(error: ErrorDetails) -> bool:
    """Tell whether pydantic only complains about what other errors, listed too, have left."""
    return error["type"] == "default_factory_not_called" or (
        error["type"] == "too_short" and bool(error["input"])
    )


def message(place: Place, error: ErrorDetails, keys: Sequence[str] = ()) -> str:
    """Return what is wrong at a place; `keys` are those that what it stands in may have."""
    value = error["input"]
    match error["type"]:
        case "missing":
            return "is required"
        case "extra_forbidden" if place[-1:] == ("<<",):
            return "keys can't be merged; write them out"
        case "extra_forbidden":
            key = str(place[-1])
            return f"unknown key {key!r}" + did_you_mean(key, keys)
        case "string_type" if isinstance(value, int | float):
            return f"must be text{_got(value)}; put it in quotes"
        case "string_pattern_mismatch" if "A-Za-z0-9" in error["ctx"]["pattern"]:
            return "may hold letters, digits, '_', '-' and '.' only" + _got(value)
        case "string_too_long":
            return f"may have at most {error['ctx']['max_length']} characters" + _got(value)
        case "too_short":
            return "must not be empty"
        case "string_too_short" if not value:
            return "must not be empty"
        case "value_error":
            return str(error["ctx"]["error"]).removeprefix(f"{place[-1] if place else ''}: ")
    kind = _kind(error["type"])
    if kind:
        hint = "; leave the quotes out" if _is_quoted(kind, value) else ""
        return f"must be {kind}{_got(value)}{hint}"
    words = error["msg"].replace("Input should ", "must ")
    return words[:1].lower() + words[1:] + _got(value)


def _kind(error_type: str) -> str:
    """Return what should be there, where that is of another type; empty for other errors."""
    match error_type.split("_"):
        case ["string", "type"]:
            return "text"
        case ["tuple" | "list", "type"]:
            return "a list"
        case ["dict", "type"] | ["model", "type"] | ["model", "attributes", "type"]:
            return "a mapping of keys to values"
        case ["float", "type" | "parsing"]:
            return "a number"
        case ["int", *_]:
            return "a whole number"
        case ["bool", *_]:
            return "true or false"
        case ["datetime", *_] | ["timezone", "aware"]:
            return "an ISO 8601 instant with a time zone"
    return ""


def _is_quoted(kind: str, value: Any) -> bool:
    if not isinstance(value, str):
        return False
    match kind:
        case "a number":
            return value.replace(".", "", 1).isdecimal()
        case "a whole number":
            return value.isdecimal()
    return kind == "true or false" and value in {"true", "false"}


def _got(value: Any) -> str:
    if not isinstance(value, str | int | float | bool | None):
        return ""
    is_word = value is None or isinstance(value, bool)
    shown = to_json(value).decode() if is_word else repr(value)
    return f", got {shown if len(shown) <= _MAX_SHOWN else shown[:_MAX_SHOWN] + '…'}"
