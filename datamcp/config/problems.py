"""Says what is wrong with a configuration, in words that name the setting and where it was set.

The models find the errors; this module turns pydantic's account of them into problems. A value is
repeated only if it cannot be a secret.
"""

from collections.abc import Iterable, Sequence
from typing import Any, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from datamcp.config.fields import (
    is_secret,
    setting_at,
    suggestion,
    target_of,
)
from datamcp.config.layer import Layer, SettingPath, strongest_within
from datamcp.config.redaction import redact
from datamcp.errors import ConfigError, Problem
from datamcp.naming import did_you_mean

_MESSAGES = {
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "is too large",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "path_type": "must be a path",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "dict_type": "must be a mapping",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "string_pattern_mismatch": "must match {pattern}",
    "missing": "is missing",
}
_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "a boolean"),
    (int, "a number"),
    (float, "a number"),
    (str, "text"),
    (dict, "a mapping"),
    ((list, tuple), "a list"),
)
_SHOWN = 60


def config_error(problems: Iterable[Problem]) -> ConfigError:
    """Return the error that holds all problems; its text lists them too."""
    listed = tuple(problems)
    return ConfigError(
        "invalid configuration: " + "; ".join(str(problem) for problem in listed), listed
    )


def explain_errors(error: ValidationError, layers: Sequence[Layer]) -> list[Problem]:
    """Return a problem for everything that the models refused."""
    return [_explain(detail, layers) for detail in error.errors(include_url=False)]


def refused_paths(error: ValidationError) -> set[SettingPath]:
    """Return the paths of all settings that the models refused."""
    return {_setting_path(detail["loc"]) for detail in error.errors(include_input=False)}


def place_of(path: SettingPath, layers: Sequence[Layer]) -> str:
    """Return ` (where the path was set)`: its own place, or that of what stands nearest to it."""
    for length in range(len(path), 0, -1):
        if found := strongest_within(layers, path[:length]):
            return f" ({found.origin})"
    return ""


def _explain(detail: ErrorDetails, layers: Sequence[Layer]) -> Problem:
    path = _setting_path(detail["loc"])
    return Problem(_written(detail["loc"]), _message(path, detail) + place_of(path, layers))


def _message(path: SettingPath, detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown setting{suggestion(path)}"
    if kind == "missing":
        return "is missing"
    if detail["loc"][-1] == "[key]":
        return "is not a name: use lower-case letters, digits and single underscores"
    if kind in {"literal_error", "enum"}:
        expected = str(context["expected"]).replace("'", "")
        return f"must be {expected}{_got(path, detail)}{_meant(expected, detail['input'])}"
    if kind == "string_pattern_mismatch" and path[-1] == "module":
        return f"must have the form package.module:Class{_got(path, detail)}"
    if kind == "string_pattern_mismatch" and path[-1] == "tasks":
        return f"must have the form package.module{_got(path, detail)}"
    message = _MESSAGES[kind].format(**context) if kind in _MESSAGES else detail["msg"]
    return f"{message}{_got(path, detail)}"


def _meant(expected: str, value: Any) -> str:
    names = expected.replace(" or ", ", ").split(", ")
    return did_you_mean(value, names) if isinstance(value, str) else ""


def _got(path: SettingPath, detail: ErrorDetails) -> str:
    """Return `, got the text 'x'`; without the value where it may be a secret, or is long."""
    value = detail["input"]
    kind = next((name for types, name in _KINDS if isinstance(value, types)), "null")
    is_hidden = is_secret(path) or _may_hold_secret(path)
    if is_hidden or kind in {"a mapping", "a list", "null"} or len(str(value)) > _SHOWN:
        return f", got {kind}"
    return f", got {kind}: {redact(value)!r}"


def _may_hold_secret(path: SettingPath) -> bool:
    """Tell whether a value at this path may hold a secret: a URL, a mapping, or what is unknown."""
    setting = setting_at(path)
    if setting is None:
        return True
    target = target_of(setting.field.annotation)
    return "url" in path[-1] or get_origin(target) is dict


def _setting_path(location: Sequence[str | int]) -> SettingPath:
    return tuple(part for part in location if isinstance(part, str) and part != "[key]")


def _written(location: Sequence[str | int]) -> str:
    """Return the path with positions in lists: `storage.secondary_urls[1]`."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part != "[key]":
            text += f".{part}" if text else part
    return text
