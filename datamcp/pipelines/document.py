"""A YAML file as JSON values that know on which lines they stand. Pure.

The reading is YAML 1.2's core schema, so that `on` and `no` are words and a date stays text.
Only what JSON can hold is read: keys are strings and given once, and there are no tags.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import yaml

from datamcp.errors import Problem

_MAX_NODES = 500_000  # aliases can make a small file enormous
_MAX_DEPTH = 50

_SCALARS: dict[str, tuple[re.Pattern[str], str, Callable[[str], Any]]] = {
    "null": (re.compile(r"^(?:~|null|Null|NULL|)$"), "~nN\0", lambda _: None),
    "bool": (
        re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"),
        "tTfF",
        lambda text: text.lower() == "true",
    ),
    "int": (re.compile(r"^[-+]?[0-9]+$"), "-+0123456789", int),
    "float": (
        re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$"),
        "-+.0123456789",
        float,
    ),
}
_TAG = "tag:yaml.org,2002:"
_READERS = {_TAG + name: read for name, (_, _, read) in _SCALARS.items()} | {_TAG + "str": str}


class _Loader(yaml.SafeLoader):
    # The resolvers of YAML 1.1 would turn `on`, `12:30` and `2013-01-01` into other things.
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  PyYAML's


for _name, (_pattern, _first, _) in _SCALARS.items():
    _Loader.add_implicit_resolver(
        _TAG + _name, _pattern, ["" if first == "\0" else first for first in _first]
    )


@dataclass(frozen=True, slots=True)
class Document:
    """What a file holds: its value, the line of each path, and what is wrong with its form."""

    value: Any
    lines: dict[str, int]
    problems: list[Problem]

    def line(self, path: str) -> int:
        """Return the line of a path such as `tasks[3].processor`, or of what it is part of."""
        while path and path not in self.lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.lines.get(path, 1)


def read(text: str) -> Document:
    """Return what a YAML text holds.

    A text that is not YAML at all has a single problem, and the value None.
    """
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = error.problem or error.context or ""
        if reason.startswith("but ") and error.context:
            reason = f"{error.context}, {reason}"
        problem = Problem("", f"is not YAML: {reason}")
        return Document(None, {"": mark.line + 1 if mark else 1}, [problem])
    except yaml.YAMLError as error:
        return Document(None, {"": 1}, [Problem("", f"is not YAML: {str(error).splitlines()[0]}")])
    except RecursionError:
        return Document(None, {"": 1}, [Problem("", "is nested too deeply")])
    if node is None:
        return Document(None, {"": 1}, [Problem("", "is empty")])
    reader = _Reader()
    try:
        value = reader.read(node, "", 0)
    except OverflowError as error:
        return Document(None, {"": 1}, [Problem("", str(error))])
    return Document(value, reader.lines, reader.problems)


@dataclass(slots=True)
class _Reader:
    lines: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    nodes: int = 0

    def read(self, node: yaml.Node, path: str, depth: int) -> Any:
        self.nodes += 1
        if depth > _MAX_DEPTH:
            raise OverflowError(f"is nested more than {_MAX_DEPTH} levels deep")
        if self.nodes > _MAX_NODES:
            raise OverflowError(f"holds more than {_MAX_NODES} values")
        self.lines.setdefault(path, _line(node))
        match node:
            case yaml.MappingNode(tag=tag) if tag == _TAG + "map":
                return self._read_mapping(node, path, depth)
            case yaml.SequenceNode(tag=tag) if tag == _TAG + "seq":
                inner = [f"{path}[{index}]" for index in range(len(node.value))]
                return [
                    self.read(item, where, depth + 1)
                    for where, item in zip(inner, node.value, strict=True)
                ]
            case yaml.ScalarNode(tag=tag) if tag in _READERS:
                return self._read_scalar(node, path)
        return self._refuse(path, f"has the tag {node.tag!r}; only plain values can be read")

    def _read_mapping(self, node: yaml.MappingNode, path: str, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, item in node.value:
            key = key_node.value
            if isinstance(key, str) and not _is_text(key):
                self._refuse(path, f"has a key with half a character: {key[:60]!r}")
                continue
            if key_node.tag != _TAG + "str":
                shown = f", got {key}; put it in quotes" if isinstance(key, str) else ""
                self._refuse(path, f"every key must be text{shown}")
                continue
            inner = f"{path}.{key}" if path else key
            before = self.lines.get(inner)
            self.lines[inner] = _line(key_node)
            if key in found:
                self._refuse(inner, f"key {key!r} is already given on line {before}")
            else:
                found[key] = self.read(item, inner, depth + 1)
        return found

    def _read_scalar(self, node: yaml.ScalarNode, path: str) -> Any:
        if not _is_text(node.value):
            return self._refuse(path, f"holds half a character: {node.value[:60]!r}")
        try:
            return _READERS[node.tag](node.value)
        except ValueError:
            return self._refuse(path, f"can't be read as a value: {node.value[:60]!r}")

    def _refuse(self, path: str, message: str) -> None:
        self.problems.append(Problem(path, message))


def _is_text(text: str) -> bool:
    """Tell whether a text can be written: escapes may name halves of characters (surrogates)."""
    return not any("\ud800" <= sign <= "\udfff" for sign in text)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
