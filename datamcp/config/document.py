"""Reads one YAML file into a layer, with the line of every setting.

The file is not trusted: only plain YAML types, no aliases that multiply (a budget of nodes), no
key twice, no second document, at most one MiB.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from datamcp.config.fields import is_named_entry, is_section
from datamcp.config.layer import Entry, Layer, Origin, OriginKind, Rank, SettingPath, dotted
from datamcp.errors import Problem

LIMIT = 1024 * 1024
_NODES = 20_000
_DEPTH = 32
_PLAIN_TAGS = frozenset({"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})


class _Unreadable(Exception):  # noqa: N818  it never leaves this module
    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.line = line


def read_document(path: Path, name: str, rank: Rank) -> tuple[Layer, list[Problem]]:
    """Return the file's settings, and what is wrong with the file; `name` is how to call it."""
    try:
        reader = _Reader(yaml.SafeLoader(_read(path)), name)
        entries = tuple(reader.entries())
    except _Unreadable as error:
        where = f"{name}:{error.line}" if error.line else name
        return Layer(rank), [Problem("", f"{where}: {error}")]
    except yaml.YAMLError as error:
        return Layer(rank), [Problem("", _explain(error, name))]
    except (RecursionError, ValueError):
        return Layer(rank), [Problem("", f"{name}: is not valid YAML")]
    return Layer(rank, entries), reader.problems


class _Reader:
    """Turns a tree of YAML nodes into entries; keeps what is wrong along the way."""

    def __init__(self, loader: yaml.SafeLoader, name: str) -> None:
        self._loader = loader
        self._name = name
        self._budget = _NODES
        self.problems: list[Problem] = []

    def entries(self) -> Iterator[Entry]:
        try:
            root = self._loader.get_single_node()
            if root is None or _is_null(root):
                return
            if not isinstance(root, yaml.MappingNode):
                raise _Unreadable("must be a mapping of sections", _line(root))
            yield from self._mapping(root, ())
        finally:
            self._loader.dispose()

    def _mapping(self, node: yaml.MappingNode, path: SettingPath) -> Iterator[Entry]:
        for name, value in self._members(node, path):
            inner = (*path, name)
            if isinstance(value, yaml.MappingNode) and value.value:
                yield from self._mapping(value, inner)
            elif not (_is_null(value) and is_section(inner) and not is_named_entry(inner)):
                origin = Origin(OriginKind.FILE, self._name, _line(value))
                yield Entry(inner, self._value(value, len(inner)), origin)

    def _members(
        self, node: yaml.MappingNode, path: SettingPath
    ) -> Iterator[tuple[str, yaml.Node]]:
        self._spend(node, len(path))
        seen: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                raise _Unreadable("keys must be plain names", _line(key))
            if key.value in seen:
                where = f"{self._name}:{_line(key)}"
                message = f"is given twice, first in line {seen[key.value]} ({where})"
                self.problems.append(Problem(dotted((*path, key.value)), message))
                continue
            seen[key.value] = _line(key)
            yield key.value, value

    def _value(self, node: yaml.Node, depth: int) -> Any:
        self._spend(node, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, depth + 1) for item in node.value]
        if isinstance(node, yaml.MappingNode):
            members = self._members(node, ())
            return {name: self._value(value, depth + 1) for name, value in members}
        return self._loader.construct_object(node, deep=True)

    def _spend(self, node: yaml.Node, depth: int) -> None:
        self._budget -= 1
        if self._budget < 0 or depth > _DEPTH:
            raise _Unreadable("is too large or too deeply nested", _line(node))
        if not isinstance(node, yaml.ScalarNode) and node.tag not in _PLAIN_TAGS:
            raise _Unreadable(f"the tag {node.tag} is not allowed", _line(node))


def _read(path: Path) -> str:
    try:
        if not path.is_file():
            raise _Unreadable("is no file" if path.exists() else "does not exist")
        with path.open("rb") as file:
            content = file.read(LIMIT + 1)
    except OSError as error:
        raise _Unreadable(f"cannot be read: {error.strerror}") from error
    if len(content) > LIMIT:
        raise _Unreadable(f"is larger than {LIMIT} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _Unreadable("is not UTF-8 text") from None


def _explain(error: yaml.YAMLError, name: str) -> str:
    mark = getattr(error, "problem_mark", None)
    reason = getattr(error, "problem", None) or "is not valid YAML"
    return f"{name}:{mark.line + 1}: {reason}" if mark else f"{name}: {reason}"


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"
