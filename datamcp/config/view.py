"""The configuration in a form that may be shown: settings, values and origins without secrets."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import reduce
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from datamcp.config.fields import (
    Setting,
    is_secret,
    is_section,
    open_mapping_above,
    paths_of,
    setting_at,
    suggestion,
    target_of,
)
from datamcp.config.layer import Entry, Origin, OriginKind, SettingPath, dotted
from datamcp.config.loader import Loaded
from datamcp.config.names import agent_type_of
from datamcp.config.redaction import HIDDEN, redact
from datamcp.config.root import Root
from datamcp.config.size import Size
from datamcp.config.url import Url
from datamcp.errors import ConfigError, Problem

_SMALL = 100_000


@dataclass(frozen=True, slots=True)
class Row:
    """A setting with the value that holds (a JSON value without secrets) and its origin."""

    name: str
    value: Any
    origin: Origin


@dataclass(frozen=True, slots=True)
class Explanation:
    """All about one setting; `sources` are the values that were given, the one that holds first."""

    row: Row
    setting: Setting
    sources: tuple[Row, ...]
    note: str


def rows(loaded: Loaded, section: str = "") -> list[Row]:
    """Return the settings of a section (`storage`, `agents.research`), or all of them.

    ConfigError if there is no such section.
    """
    prefix = _canonical(tuple(section.split("."))) if section else ()
    values = loaded.config.model_dump(mode="json")
    found = [_row(path, values, loaded) for path in _within(loaded, prefix)]
    if not found and prefix not in {("agents",), ("integrations",), ("schedules",)}:
        raise _unknown(section)
    return found


def nested(loaded: Loaded, section: str = "") -> Any:
    """Return a section, or the whole configuration, as nested JSON values without secrets.

    ConfigError if there is no such section.
    """
    if not section:
        return loaded.config.model_dump(mode="json")
    path = _canonical(tuple(section.split(".")))
    found: Any = loaded.config.model_dump(mode="json")
    for name in path:
        if not isinstance(found, dict) or name not in found:
            raise _unknown(section)
        found = found[name]
    return HIDDEN if is_secret(path) and found is not None else found


def explain(loaded: Loaded, name: str) -> Explanation:
    """Return what a setting means, its value, and everything that the sources said about it.

    ConfigError if there is no such setting, or if it is a whole section.
    """
    written = tuple(name.split("."))
    path = _canonical(written)
    inside = None if setting_at(path) else open_mapping_above(path)
    path = inside.path if inside else path
    setting = setting_at(path)
    if is_section(path):
        message = f"{name} is a section; `datamcp config show {name}` lists its settings"
        raise ConfigError(message, [Problem(name, "is a section")])
    if setting is None or path not in _within(loaded, ()):
        raise _unknown(name)
    values = loaded.config.model_dump(mode="json")
    return Explanation(
        _row(path, values, loaded), setting, tuple(_sources(loaded, path)), _note(written)
    )


def text_of(value: Any) -> str:
    """Return a JSON value as one would write it in a table; unset is a dash."""
    match value:
        case None | [] | {}:
            return "–"  # noqa: RUF001  a dash is meant
        case bool():
            return "true" if value else "false"
        case list():
            return ", ".join(text_of(item) for item in value)
        case dict():
            return ", ".join(f"{name}: {text_of(item)}" for name, item in value.items())
    return str(value)


def kind_of(setting: Setting) -> str:
    """Return in words what a setting may hold."""
    return _kind(setting.field.annotation) + _bounds(setting)


def default_of(setting: Setting) -> str:
    """Return the default in the form of `text_of`, or `required`."""
    default = setting.field.get_default(call_default_factory=True)
    if default is PydanticUndefined:
        return "required"
    return text_of(str(default) if isinstance(default, Path) else _plain(default))


def _within(loaded: Loaded, prefix: SettingPath) -> list[SettingPath]:
    return [path for path in paths_of(loaded.config) if path[: len(prefix)] == prefix]


def _row(path: SettingPath, values: Any, loaded: Loaded) -> Row:
    value = reduce(lambda branch, name: branch[name], path, values)
    hidden = HIDDEN if is_secret(path) and value is not None else value
    return Row(dotted(path), hidden, loaded.origins[dotted(path)])


def _sources(loaded: Loaded, path: SettingPath) -> Iterator[Row]:
    for layer in reversed(loaded.layers):
        for entry in reversed(layer.entries):
            if entry.path[: len(path)] == path:
                yield Row(entry.name, _shown(entry), entry.origin)
    setting = setting_at(path)
    if setting is not None and not setting.field.is_required():
        default = _plain(setting.field.get_default(call_default_factory=True))
        yield Row(dotted(path), default, Origin(OriginKind.DEFAULT))


def _shown(entry: Entry) -> Any:
    is_hidden = is_secret(entry.path) and entry.value is not None
    return HIDDEN if is_hidden else redact(entry.value, entry.path[-1])


def _plain(default: Any) -> Any:
    if isinstance(default, tuple):
        return [_plain(item) for item in default]
    return str(default) if isinstance(default, Path) else default


def _canonical(path: SettingPath) -> SettingPath:
    if len(path) > 1 and path[0] == "agents":
        return (path[0], agent_type_of(path[1]), *path[2:])
    return path


def _note(written: SettingPath) -> str:
    path = _canonical(written)
    return "" if path == written else f"{dotted(written[:2])} is read as {dotted(path[:2])}"


def _unknown(name: str) -> ConfigError:
    path = _canonical(tuple(name.split(".")))
    if is_section(path) or setting_at(path):
        message = f"there is no {dotted(path[:2])} in this configuration"
    else:
        message = f"unknown setting{suggestion(path)}"
    return ConfigError(f"{name}: {message}", [Problem(name, message)])


def _kind(annotation: Any) -> str:
    target = target_of(annotation)
    origin, arguments = get_origin(target), get_args(target)
    if origin is Annotated:
        return _kind(arguments[0])
    if origin is Literal:
        return ", ".join(f"`{name}`" for name in arguments)
    if isinstance(target, type) and issubclass(target, StrEnum):
        return ", ".join(f"`{member}`" for member in target)
    if origin in {list, tuple}:
        return f"list of {_PLURALS.get(target_of(arguments[0]), 'values')}"
    if origin is dict:
        return "mapping"
    if origin in {Union, UnionType}:
        return " or ".join(_kind(one) for one in arguments)
    return _KINDS.get(target, "value")


def _bounds(setting: Setting) -> str:
    least, most = _constraint(setting, "ge"), _constraint(setting, "le")
    above = _constraint(setting, "gt")
    limits = [
        f"> {above}" if above is not None else "",
        f"≥ {least}" if least is not None else "",
        f"≤ {most}" if most is not None and most < _SMALL else "",
    ]
    given = ", ".join(limit for limit in limits if limit)
    return f", {given}" if given else ""


def _constraint(setting: Setting, name: str) -> Any:
    inner = [
        part
        for kind in get_args(setting.field.annotation)
        if get_origin(kind) is Annotated
        for extra in get_args(kind)[1:]
        for part in getattr(extra, "metadata", [extra])
    ]
    found = [getattr(part, name, None) for part in (*setting.field.metadata, *inner)]
    return next((value for value in found if value is not None), None)


_KINDS: dict[Any, str] = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    Path: "path",
    SecretStr: "secret",
    Size: "size",
    Url: "URL",
}
_PLURALS: dict[Any, str] = {
    str: "texts",
    Path: "paths",
    Url: "URLs",
    target_of(Root): "paths and URLs",
}
