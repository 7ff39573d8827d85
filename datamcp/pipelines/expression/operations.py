"""The operators and functions of expressions, on JSON values. Pure.

They are stricter than Python's: true is not 1, null is never ordered or added, nothing is turned
into another type unasked, and no result is too large. Each raises ProcessingError, with a message
that says which types met and holds none of the data.
"""

import json
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any

from datamcp.errors import ProcessingError
from datamcp.types import JSONValue

MAX_TEXT = 100_000
"""Characters that a text may have which an expression makes."""

MAX_ITEMS = 10_000
"""Elements that a list may have which an expression makes."""

_MAX_BITS = 1024
_MAX_DIGITS = 400
_WHOLE = re.compile(r"\s*[+-]?[0-9]+\s*")
_NUMBER = re.compile(r"\s*[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?\s*")

Function = Callable[..., Any]


def is_true(value: JSONValue) -> bool:
    """Tell whether a value counts as true: all do but false, null, 0, "", [] and {}."""
    return bool(value)


def is_false(value: JSONValue) -> bool:
    """Tell whether a value counts as false."""
    return not value


def exists(value: JSONValue) -> bool:
    """Tell whether a value is not null."""
    return value is not None


def kind(value: Any) -> str:
    """Return what a value is, with its article, for messages."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case Mapping():
            return "an object"
    return "a list"


def is_number(value: Any) -> bool:
    """Tell whether a value is a number; a boolean is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_list(value: Any) -> bool:
    """Tell whether a value is a list."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def bounded(value: Any) -> Any:
    """Return a value that was made, unless it is too large or no number at all."""
    match value:
        case float() if not isfinite(value):
            raise ProcessingError("the result is no finite number")
        case int() if value.bit_length() > _MAX_BITS:
            raise ProcessingError("the result is too large a number")
        case str() if len(value) > MAX_TEXT:
            raise ProcessingError(f"the result is longer than {MAX_TEXT:,} characters")
    return value


def negate(value: Any) -> Any:
    """Return a number with the other sign."""
    if not is_number(value):
        raise ProcessingError(f"{kind(value)} has no negative{_instead(value)}")
    return bounded(-value)


def add(one: Any, other: Any) -> Any:
    """Return the sum of numbers, or texts or lists one after the other."""
    if is_number(one) and is_number(other):
        return bounded(one + other)
    if isinstance(one, str) and isinstance(other, str):
        return bounded(one + other)
    if is_list(one) and is_list(other):
        if len(one) + len(other) > MAX_ITEMS:
            raise ProcessingError(f"the result has more than {MAX_ITEMS:,} elements")
        return [*one, *other]
    raise _unfit("+", one, other)


def _arithmetic(symbol: str, work: Function) -> Function:
    def operation(one: Any, other: Any) -> Any:
        if not (is_number(one) and is_number(other)):
            raise _unfit(symbol, one, other)
        if symbol in "/%" and other == 0:
            raise ProcessingError(f"'{symbol}' divides by zero")
        return bounded(work(one, other))

    return operation


def _ordering(symbol: str, work: Function) -> Function:
    def operation(one: Any, other: Any) -> Any:
        if (is_number(one) and is_number(other)) or (
            isinstance(one, str) and isinstance(other, str)
        ):
            return work(one, other)
        raise _unfit(symbol, one, other)

    return operation


def equal(one: Any, other: Any) -> bool:
    """Tell whether two JSON values are the same; 1 is 1.0, and true is not 1."""
    todo = [(one, other)]
    while todo:
        one, other = todo.pop()
        if is_list(one) and is_list(other) and len(one) == len(other):
            todo += zip(one, other, strict=True)
        elif isinstance(one, Mapping) and isinstance(other, Mapping) and one.keys() == other.keys():
            todo += ((one[key], other[key]) for key in one)
        elif isinstance(one, bool) != isinstance(other, bool) or is_list(one) or one != other:
            return False
    return True


def contains(whole: Any, part: Any) -> bool:
    """Tell whether a text holds a text, a list an element, or an object a key."""
    if is_list(whole):
        return any(equal(element, part) for element in whole)
    if isinstance(whole, str | Mapping) and isinstance(part, str):
        return part in whole
    message = f"{kind(whole)} can't hold {kind(part)}{_instead(whole, part)}"
    raise ProcessingError(message)


def get(value: Any, key: Any) -> Any:
    """Return what stands at a place of a list or under a key of an object; null if nothing does."""
    match value:
        case None:
            return None
        case Mapping() if isinstance(key, str):
            return value.get(key)
        case _ if is_list(value) and isinstance(key, int) and not isinstance(key, bool):
            return value[key] if -len(value) <= key < len(value) else None
    asked = f"no key {key!r}" if isinstance(key, str) else f"no place that {kind(key)} names"
    raise ProcessingError(f"{kind(value)} has {asked}")


def listed(*elements: Any) -> list[Any]:
    """Return elements as a list."""
    return [*elements]


def _length(value: Any) -> int:
    if not isinstance(value, str | Mapping | Sequence):
        raise ProcessingError(f"{kind(value)} has no length{_instead(value)}")
    return len(value)


def _on_text(name: str, work: Function) -> Function:
    def operation(*texts: Any) -> Any:
        for text in texts:
            if not isinstance(text, str):
                raise ProcessingError(f"{name} takes a text, got {kind(text)}{_instead(text)}")
        return bounded(work(*texts))

    return operation


def _whole(value: Any) -> Any:
    match value:
        case bool() | int():
            return bounded(int(value))
        case float() if isfinite(value):
            return int(value)
        case str() if len(value) <= _MAX_DIGITS and _WHOLE.fullmatch(value):
            return bounded(int(value))
    raise _unreadable("int", "a whole number", value)


def _real(value: Any) -> Any:
    match value:
        case bool() | int() | float():
            return bounded(float(value))
        case str() if len(value) <= _MAX_DIGITS and _NUMBER.fullmatch(value):
            return bounded(float(value))
    raise _unreadable("float", "a number", value)


def _text(value: Any) -> Any:
    if isinstance(value, str):
        return value
    written, length = [], 0
    encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        for piece in encoder.iterencode(value):
            written.append(piece)
            length += len(piece)
            if length > MAX_TEXT:
                break
    except (ValueError, TypeError, RecursionError):
        raise ProcessingError(f"{kind(value)} can't be written as a text") from None
    return bounded("".join(written))


def _absolute(value: Any) -> Any:
    if not is_number(value):
        raise ProcessingError(f"abs takes a number, got {kind(value)}{_instead(value)}")
    return bounded(abs(value))


def _extreme(name: str, is_better: Function) -> Function:
    def operation(*values: Any) -> Any:
        if len(values) == 1:
            if not is_list(values[0]):
                message = f"{name} takes a list or several values, got {kind(values[0])}"
                raise ProcessingError(message + _instead(values[0]))
            values = tuple(values[0])
        if not values:
            raise ProcessingError(f"{name} of an empty list is not defined")
        best = values[0]
        for value in values:
            best = value if is_better(value, best) else best
        return best

    return operation


OPERATORS: dict[str, Function] = {
    "==": equal,
    "!=": lambda one, other: not equal(one, other),
    "<": _ordering("<", operator.lt),
    "<=": _ordering("<=", operator.le),
    ">": _ordering(">", operator.gt),
    ">=": _ordering(">=", operator.ge),
    "in": lambda part, whole: contains(whole, part),
    "not in": lambda part, whole: not contains(whole, part),
    "+": add,
    "-": _arithmetic("-", operator.sub),
    "*": _arithmetic("*", operator.mul),
    "/": _arithmetic("/", operator.truediv),
    "%": _arithmetic("%", operator.mod),
}
"""What stands between two values."""

FUNCTIONS: dict[str, tuple[Function, int, int]] = {
    "len": (_length, 1, 1),
    "lower": (_on_text("lower", str.lower), 1, 1),
    "upper": (_on_text("upper", str.upper), 1, 1),
    "contains": (contains, 2, 2),
    "starts_with": (_on_text("starts_with", str.startswith), 2, 2),
    "ends_with": (_on_text("ends_with", str.endswith), 2, 2),
    "int": (_whole, 1, 1),
    "float": (_real, 1, 1),
    "str": (_text, 1, 1),
    "abs": (_absolute, 1, 1),
    "min": (_extreme("min", OPERATORS["<"]), 1, 100),
    "max": (_extreme("max", OPERATORS[">"]), 1, 100),
    "exists": (exists, 1, 1),
}
"""Each with the fewest and the most arguments that it takes; `default` is lazy, and not here."""


def _unfit(symbol: str, one: Any, other: Any) -> ProcessingError:
    message = f"'{symbol}' does not go with {kind(one)} and {kind(other)}"
    return ProcessingError(message + _instead(one, other))


def _unreadable(name: str, wanted: str, value: Any) -> ProcessingError:
    what = "the text" if isinstance(value, str) else kind(value)
    return ProcessingError(f"{name}: {what} is not {wanted}{_instead(value)}")


def _instead(*values: Any) -> str:
    return "; default(x, y) is y where x is null" if None in values else ""
