"""Layers of settings: each holds what one source says, and where exactly it says so.

A layer is flat: paths to values. Laid over one another, the strongest value of each path holds.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum
from typing import Any

SettingPath = tuple[str, ...]
"""The names that lead to a setting: `("storage", "cache_backend")`."""


class Rank(IntEnum):
    """The sources of settings; each is stronger than those before it."""

    DERIVED = 0
    RUNNING_STACK = 1
    BASE_FILE = 2
    ENVIRONMENT_FILE = 3
    EXTRA_FILE = 4
    ENVIRONMENT = 5
    COMMAND_LINE = 6


class OriginKind(StrEnum):
    """The kinds of places that a value can come from."""

    DEFAULT = "default"
    DERIVED = "derived"
    RUNNING_STACK = "running stack"
    FILE = "file"
    ENVIRONMENT = "environment"
    COMMAND_LINE = "command line"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from; `name` is a file, a variable, or the settings it follows from."""

    kind: OriginKind
    name: str = ""
    line: int | None = None
    note: str = ""

    def noted(self, note: str) -> "Origin":
        """Return the same place with a remark."""
        return replace(self, note=note)

    def __str__(self) -> str:
        """Return the place as one would say it: `config/base.yaml:12`."""
        match self.kind:
            case OriginKind.FILE:
                place = f"{self.name}:{self.line}" if self.line else self.name
            case OriginKind.ENVIRONMENT:
                place = self.name
            case OriginKind.DERIVED:
                place = f"from {self.name}"
            case OriginKind.RUNNING_STACK:
                place = f"running stack ({self.name})"
            case OriginKind.COMMAND_LINE | OriginKind.DEFAULT:
                place = self.kind.value
        return f"{place}, {self.note}" if self.note else place


@dataclass(frozen=True, slots=True)
class Entry:
    """One setting as one source gives it; not validated yet."""

    path: SettingPath
    value: Any
    origin: Origin

    @property
    def name(self) -> str:
        """Return the path as it is written: `storage.cache_backend`."""
        return dotted(self.path)


@dataclass(frozen=True, slots=True)
class Layer:
    """All settings of one source; where a path comes twice, the later entry holds."""

    rank: Rank
    entries: tuple[Entry, ...] = ()

    def get(self, path: SettingPath) -> Entry | None:
        """Return the entry of exactly this path."""
        found = [entry for entry in self.entries if entry.path == path]
        return found[-1] if found else None

    def without(self, path: SettingPath) -> "Layer":
        """Return the layer less one path."""
        return replace(self, entries=tuple(one for one in self.entries if one.path != path))

    def mapped(self, change: Callable[[Entry], Entry]) -> "Layer":
        """Return the layer with every entry changed."""
        return replace(self, entries=tuple(change(entry) for entry in self.entries))

    def tree(self) -> dict[str, Any]:
        """Return the settings as nested mappings."""
        root: dict[str, Any] = {}
        for entry in self.entries:
            _plant(root, entry.path, entry.value)
        return root


def dotted(path: Iterable[str]) -> str:
    """Return a path as it is written: `storage.cache_backend`."""
    return ".".join(path)


def strongest(layers: Sequence[Layer], path: SettingPath) -> tuple[Rank, Entry] | None:
    """Return the entry that holds for this path, and the rank of its layer."""
    for layer in sorted(layers, key=lambda one: one.rank, reverse=True):
        entry = layer.get(path)
        if entry is not None:
            return layer.rank, entry
    return None


def strongest_within(layers: Sequence[Layer], path: SettingPath) -> Entry | None:
    """Return the strongest entry of this path, or else of anything below it."""
    if found := strongest(layers, path):
        return found[1]
    below = [
        entry for layer in layers for entry in layer.entries if entry.path[: len(path)] == path
    ]
    return below[-1] if below else None


def flatten(
    path: SettingPath, value: Any, make_entry: Callable[[SettingPath, Any], Entry]
) -> list[Entry]:
    """Return the leaves of a nested value as entries; an empty mapping is a leaf."""
    if not isinstance(value, Mapping) or not value:
        return [make_entry(path, value)]
    parts = ((str(name), inner) for name, inner in value.items())
    return [entry for name, inner in parts for entry in flatten((*path, name), inner, make_entry)]


def _plant(root: dict[str, Any], path: SettingPath, value: Any) -> None:
    branch = root
    for name in path[:-1]:
        inner = branch.get(name)
        if not isinstance(inner, dict):
            inner = branch[name] = {}
        branch = inner
    if value == {} and isinstance(branch.get(path[-1]), dict):
        return
    branch[path[-1]] = {} if value == {} else value
