"""What the models say about a path: whether it exists, what it may hold, what it is called nearby.

The one place that walks the models. Sources ask it how to read text, messages ask it for
suggestions, and the reference page lists what it finds.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Annotated, Any, TypeGuard, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from datamcp.config.layer import SettingPath, dotted
from datamcp.config.redaction import is_secret_name
from datamcp.config.settings import GlobalConfig
from datamcp.naming import did_you_mean

ANY_NAME = {"agents": "TYPE", "integrations": "NAME", "schedules": "NAME"}
"""What stands for the name of an entry where the user chooses it."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of the models; `path` has TYPE or NAME where the user chooses the name."""

    path: SettingPath
    field: FieldInfo

    @property
    def name(self) -> str:
        """Return the path as it is written."""
        return dotted(self.path)

    @property
    def description(self) -> str:
        """Return what the setting means."""
        return self.field.description or ""

    @property
    def is_secret(self) -> bool:
        """Tell whether the value must never be shown or stand in a file."""
        return target_of(self.field.annotation) is SecretStr or is_secret_name(self.path[-1])


@cache
def settings() -> tuple[Setting, ...]:
    """Return every setting there is, in the order of the models."""
    return tuple(_walk(GlobalConfig, ()))


def annotation_at(path: SettingPath) -> Any:
    """Return the type that belongs at this path; None where nothing does."""
    annotation: Any = GlobalConfig
    for name in path:
        annotation = _child(annotation, name)
        if annotation is None:
            return None
    return annotation


def setting_at(path: SettingPath) -> Setting | None:
    """Return the setting of this path; None where there is none, or only a section."""
    parent = target_of(annotation_at(path[:-1])) if path else None
    field = parent.model_fields.get(path[-1]) if _is_model(parent) else None
    return None if field is None or _is_section(field.annotation) else Setting(path, field)


def open_mapping_above(path: SettingPath) -> Setting | None:
    """Return the setting whose mapping holds this path, such as an integration's options."""
    for length in range(len(path) - 1, 0, -1):
        setting = setting_at(path[:length])
        if setting is not None and get_origin(target_of(setting.field.annotation)) is dict:
            return setting
    return None


def is_section(path: SettingPath) -> bool:
    """Tell whether the path leads to a section or to the entries of one."""
    annotation = annotation_at(path)
    return annotation is not None and _is_section(annotation)


def is_named_entry(path: SettingPath) -> bool:
    """Tell whether the path leads to an entry whose name the user chose: `agents.research`."""
    return len(path) == 2 and path[0] in ANY_NAME


def is_secret(path: SettingPath) -> bool:
    """Tell whether what stands at this path must not be shown."""
    setting = setting_at(path)
    return any(map(is_secret_name, path)) if setting is None else setting.is_secret


def target_of(annotation: Any) -> Any:
    """Return the type inside `Annotated` and beside None."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return target_of(get_args(annotation)[0])
    if origin in {Union, UnionType}:
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        return target_of(kinds[0]) if len(kinds) == 1 else annotation
    return annotation


def may_be_null(annotation: Any) -> bool:
    """Tell whether null is a value of this type."""
    return type(None) in get_args(annotation)


def paths_of(model: BaseModel, prefix: SettingPath = ()) -> list[SettingPath]:
    """Return the path of every setting that a configuration holds, in the order of the models."""
    paths: list[SettingPath] = []
    for name, field in type(model).model_fields.items():
        value, path = getattr(model, name), (*prefix, name)
        if isinstance(value, BaseModel):
            paths += paths_of(value, path)
        elif _is_section(field.annotation):
            paths += [one for key, entry in value.items() for one in paths_of(entry, (*path, key))]
        else:
            paths.append(path)
    return paths


def suggestion(path: SettingPath) -> str:
    """Return `; did you mean 'x'?` for a path that does not exist, or nothing."""
    *parents, wrong = path
    near = [name for name in _names_below(path[:-1]) if did_you_mean(wrong, [name])]
    elsewhere = [setting.name for setting in settings() if setting.path[-1] == wrong]
    names = [dotted((*parents, name)) for name in near] or elsewhere[:1]
    return did_you_mean(dotted(path), names) or (f"; did you mean {names[0]!r}?" if names else "")


def _walk(model: type[BaseModel], prefix: SettingPath) -> Iterator[Setting]:
    for name, field in model.model_fields.items():
        path = (*prefix, name)
        target = target_of(field.annotation)
        if _is_model(target):
            yield from _walk(target, path)
        elif _is_section(field.annotation):
            yield from _walk(get_args(target)[1], (*path, ANY_NAME[name]))
        else:
            yield Setting(path, field)


def _child(annotation: Any, name: str) -> Any:
    target = target_of(annotation)
    if _is_model(target):
        field = target.model_fields.get(name)
        return None if field is None else field.annotation
    if get_origin(target) is dict:
        return get_args(target)[1]
    return None


def _is_model(target: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(target, type) and issubclass(target, BaseModel)


def _is_section(annotation: Any) -> bool:
    target = target_of(annotation)
    holds_sections = get_origin(target) is dict and _is_model(get_args(target)[1])
    return _is_model(target) or holds_sections


def _names_below(path: SettingPath) -> tuple[str, ...]:
    target = target_of(annotation_at(path))
    return tuple(target.model_fields) if _is_model(target) else ()
