"""Reads the JSON of an answer from its file, piece by piece: one record at a time is in memory.

ijson parses; it comes with the extra `http`. What is read is untrusted: nesting and the number of
columns are bounded.
"""

import json
from codecs import BOM_UTF8
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import ijson

from datamcp.errors import ProcessingError
from datamcp.types import JSONValue

MAX_DEPTH = 200

_BUFFER = 1 << 19  # bytes; text that is longer is looked at again with each further piece

_OPENING = frozenset({"start_map", "start_array"})
_CLOSING = frozenset({"end_map", "end_array"})


def check(body: Path, what: str) -> None:
    """Read a body to its end; ProcessingError if it is not JSON, or nested too deeply.

    `what` is what messages call it. Whoever reads records does so after this.
    """
    depth = 0
    try:
        with _opened(body) as file:
            for event, _ in ijson.basic_parse(file, buf_size=_BUFFER):
                if event in _CLOSING:
                    depth -= 1
                elif event in _OPENING:
                    depth += 1
                    if depth > MAX_DEPTH:
                        raise ProcessingError(f"{what} is nested more than {MAX_DEPTH} levels deep")
    except (ijson.JSONError, UnicodeDecodeError, ValueError) as error:
        raise ProcessingError(f"{what} is not JSON: {_reason(error)}") from error


def kind_at(body: Path, path: str) -> str:
    """Return what is at a dotted path, '' meaning the whole: `array`, `map`, another, or ''."""
    with _opened(body) as file:
        for prefix, event, _ in ijson.parse(file, buf_size=_BUFFER):
            if prefix == path and event != "map_key":
                return str(event).removeprefix("start_")
    return ""


def items(body: Path, path: str) -> Iterator[JSONValue]:
    """Yield the items of the list at a dotted path, '' meaning the whole."""
    with _opened(body) as file:
        yield from ijson.items(file, f"{path}.item" if path else "item", buf_size=_BUFFER)


def value_at(body: Path, path: str) -> JSONValue:
    """Return the value at a dotted path, None if there is none."""
    with _opened(body) as file:
        found: JSONValue = next(iter(ijson.items(file, path, buf_size=_BUFFER)), None)
        return found


def whole(body: Path) -> JSONValue:
    """Return all of a small body."""
    found: JSONValue = json.loads(body.read_bytes().removeprefix(BOM_UTF8))
    return found


def keys(body: Path) -> list[str]:
    """Return the first names in a body that is an object, to tell what there is instead."""
    found = []
    with _opened(body) as file:
        for prefix, event, value in ijson.parse(file, buf_size=_BUFFER):
            if prefix == "" and event == "map_key":
                found.append(str(value)[:40])
                if len(found) == 10:
                    break
    return found


@contextmanager
def _opened(body: Path) -> Iterator[BinaryIO]:
    with body.open("rb") as file:
        if file.read(len(BOM_UTF8)) != BOM_UTF8:
            file.seek(0)
        yield file


def _reason(error: Exception) -> str:
    # yajl draws a picture below its message, and quotes bytes that are no text.
    told = str(error).removeprefix("b'").replace("\\n", "\n").partition("\n")[0]
    return " ".join(told.split())[:120] or "it is empty"
