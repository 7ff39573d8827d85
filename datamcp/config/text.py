"""Settings given as text: environment variables and the command line.

Lists are JSON or words between commas, mappings are JSON, and `null` unsets what may be unset.
Whatever else is left as text, which the models turn into numbers and booleans.
"""

import json
import os
import re
from collections.abc import Callable, Mapping
from typing import Any, get_origin

from datamcp.config.fields import (
    annotation_at,
    is_named_entry,
    is_section,
    may_be_null,
    open_mapping_above,
    setting_at,
    settings,
    target_of,
)
from datamcp.config.layer import Entry, Layer, Origin, OriginKind, Rank, SettingPath, flatten
from datamcp.config.settings import GlobalConfig
from datamcp.errors import ConfigError, Problem

PREFIX = "DATAMCP_"
CONFIG_FILE = "DATAMCP_CONFIG"
CONFIG_DIR = "DATAMCP_CONFIG_DIR"

_SEPARATOR = "__"
_OTHER_PURPOSE = re.compile(rf"{CONFIG_FILE}|{CONFIG_DIR}|{PREFIX}TEST_.*")
_NAMEABLE = re.compile(r"[a-z0-9]+(?:_[a-z0-9]+)*")


def read_environment(environ: Mapping[str, str]) -> tuple[Layer, list[Problem], list[Problem]]:
    """Return the settings among the variables, what is wrong with them, and what was ignored.

    An empty variable counts as unset. A variable of our prefix that names no section is ignored
    with a warning, unless it is clearly a setting written with single underscores.
    """
    entries: list[Entry] = []
    problems: list[Problem] = []
    ignored: list[Problem] = []
    for variable in sorted(environ, key=lambda name: (name.count(_SEPARATOR), name)):
        if not variable.startswith(PREFIX) or _OTHER_PURPOSE.fullmatch(variable):
            continue
        path = tuple(variable[len(PREFIX) :].lower().split(_SEPARATOR))
        if len(path) == 1 and path[0] not in GlobalConfig.model_fields:
            meant = _meant_by(path[0])
            (problems if meant else ignored).append(
                Problem(variable, meant or "is no setting; ignored")
            )
        elif environ[variable]:
            origin = Origin(OriginKind.ENVIRONMENT, variable)
            _collect(path, environ[variable], origin, entries, problems)
    return Layer(Rank.ENVIRONMENT, tuple(entries)), problems, ignored


def read_overrides(overrides: Mapping[str, str]) -> tuple[Layer, list[Problem]]:
    """Return the settings of the command line, and what is wrong with them."""
    entries: list[Entry] = []
    problems: list[Problem] = []
    for name, text in overrides.items():
        origin = Origin(OriginKind.COMMAND_LINE)
        _collect(tuple(name.split(".")), text, origin, entries, problems)
    return Layer(Rank.COMMAND_LINE, tuple(entries)), problems


def to_environ(settings: Mapping[str, str]) -> dict[str, str]:
    """Return settings as the environment variables that stand for them.

    `{"broker.url": "redis://…"}` becomes `{"DATAMCP_BROKER__URL": "redis://…"}`. This is how a
    process hands settings on to those that it starts, as a command line is visible to everybody.
    ConfigError if a name cannot stand in a variable, or is no setting.
    """
    return {_variable(name): text for name, text in settings.items()}


def variable_of(path: SettingPath) -> str:
    """Return the environment variable that stands for a path."""
    return PREFIX + _SEPARATOR.join(path).upper()


def _variable(name: str) -> str:
    path = tuple(name.split("."))
    if annotation_at(path) is None or not all(_NAMEABLE.fullmatch(part) for part in path):
        raise ConfigError(f"{name!r} is no setting that a variable can stand for")
    return variable_of(path)


def _collect(
    path: SettingPath, text: str, origin: Origin, entries: list[Entry], problems: list[Problem]
) -> None:
    try:
        value = _parse(path, text)
    except ValueError as error:
        problems.append(Problem(".".join(path), f"{error} ({origin})"))
        return
    entries.extend(flatten(path, value, _entry_of(origin)))


def _entry_of(origin: Origin) -> Callable[[SettingPath, Any], Entry]:
    return lambda path, value: Entry(path, value, origin)


def _parse(path: SettingPath, text: str) -> Any:
    if setting_at(path) is None and open_mapping_above(path) is not None:
        return _json_or_text(text)
    annotation = annotation_at(path)
    target = target_of(annotation)
    if text == "null" and (may_be_null(annotation) or is_named_entry(path)):
        return None
    if is_section(path) or get_origin(target) is dict:
        return _json_object(text)
    if get_origin(target) in {list, tuple}:
        return _list(text)
    return text


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _json_object(text: str) -> Any:
    value = _json_or_text(text)
    if not isinstance(value, dict):
        raise ValueError("must be a JSON object")  # noqa: TRY004  it is the text that is wrong
    return value


def _list(text: str) -> Any:
    if not text.lstrip().startswith("["):
        return [word.strip() for word in text.split(",") if word.strip()]
    value = _json_or_text(text)
    if not isinstance(value, list):
        raise ValueError("must be a JSON list or words between commas")  # noqa: TRY004  as above
    return value


def _meant_by(name: str) -> str:
    """Return what to write instead of a variable with single underscores, if that is clear."""
    for setting in settings():
        if "_".join(setting.path) == name:
            return f"is no setting; did you mean {variable_of(setting.path)!r}?"
    return ""


def child_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with settings added, for a child process."""
    return {**os.environ, **to_environ(settings)}  # noqa: TID251  the one place that reads it


def set_variable(name: str, value: str) -> None:
    """Set a variable of this process, where nobody has: for a library that looks only there."""
    os.environ.setdefault(name, value)  # noqa: TID251  the one place that touches it
