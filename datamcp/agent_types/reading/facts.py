"""A JSON value as something to read: facts in a table, records in rows, what is nested below. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from datamcp.agent_types.reading.markup import cell, inline, paragraph, row_of, table
from datamcp.types import JSONValue

_DEEPEST = 6  # levels of names; what is nested deeper is not shown
_LISTED = 20  # values of a list in one cell
_LONGEST = 2_000  # characters of one text
_YEARS = 10_000  # whole numbers below it may be years, and have no separator


def facts(value: JSONValue, limit: int) -> list[str]:
    """Return the lines of a value, at most `limit` rows of each table; paragraphs are one line."""
    return list(_shown(value, limit, ()))


def _shown(value: Any, limit: int, names: tuple[str, ...]) -> Iterator[str]:
    match value:
        case Mapping() if _is_records(list(value.values())):
            rows = [{"": _spaced(name), **record} for name, record in value.items()]
            yield from _label(names)
            yield from _records(rows, limit)
        case Mapping():
            yield from _mapping(value, limit, names)
        case Sequence() if not isinstance(value, str) and _is_records(value):
            yield from _label(names)
            yield from _records(value, limit)
        case Sequence() if not isinstance(value, str) and not _is_plain_list(value):
            yield from _items(value, limit, names)
        case _:
            yield from _label(names)
            yield paragraph(_text(value)) if isinstance(value, str) else fact(value)
            yield ""


def _mapping(value: Mapping[str, Any], limit: int, names: tuple[str, ...]) -> Iterator[str]:
    """Yield the facts of a mapping as one table, then what is nested in it."""
    plain = {name: one for name, one in value.items() if _is_plain(one) or _is_plain_list(one)}
    if plain or not value:
        yield from _label(names)
        yield row_of(["fact", "value"])
        yield row_of(["---", "---"])
        yield from (row_of([inline(_spaced(name)), fact(one)]) for name, one in plain.items())
        yield ""
    for name, one in value.items():
        if name not in plain:
            yield from _nested(one, limit, (*names, _spaced(name)))


def _items(value: Sequence[Any], limit: int, names: tuple[str, ...]) -> Iterator[str]:
    for number, one in enumerate(value[:limit], start=1):
        yield from _nested(one, limit, (*names, str(number)))
    yield from _cut(limit, len(value))


def _nested(value: Any, limit: int, names: tuple[str, ...]) -> Iterator[str]:
    if len(names) > _DEEPEST:
        yield from _label(names)
        yield "(nested too deep to be shown)"
        yield ""
    else:
        yield from _shown(value, limit, names)


def _records(records: Sequence[Mapping[str, Any]], limit: int) -> Iterator[str]:
    columns = list(dict.fromkeys(name for record in records[:limit] for name in record))
    rows = [[_cell_value(record.get(name)) for name in columns] for record in records[:limit]]
    yield from table(columns, rows)
    yield ""
    yield from _cut(limit, len(records))


def _cut(limit: int, count: int) -> Iterator[str]:
    if count > limit:
        yield f"{limit:,} of {count:,} rows."
        yield ""


def _label(names: tuple[str, ...]) -> Iterator[str]:
    if names:
        yield f"**{': '.join(inline(name) or '(no name)' for name in names)}**"
        yield ""


def _is_records(values: Sequence[Any]) -> bool:
    """Tell whether all values are mappings of plain values that have a name in common."""
    if not values or not all(isinstance(one, Mapping) and one for one in values):
        return False
    common = set(values[0]).intersection(*values)
    return bool(common) and all(
        _is_plain(inner) or _is_plain_list(inner) for one in values for inner in one.values()
    )


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


def _is_plain_list(value: Any) -> bool:
    return isinstance(value, Sequence) and all(_is_plain(one) for one in value)


def _cell_value(value: Any) -> Any:
    return ", ".join(_text(one) for one in value[:_LISTED]) if isinstance(value, list) else value


def fact(value: Any) -> str:
    """Return a plain value, or a list of plain values, for a cell."""
    if isinstance(value, str):
        return inline(_text(value))
    if isinstance(value, Sequence):
        shown = ", ".join(fact(one) for one in value[:_LISTED])
        return f"{shown} … ({len(value):,} in all)" if len(value) > _LISTED else shown
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _YEARS:
        return str(value)
    return cell(value)


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _spaced(name: str) -> str:
    return name.replace("_", " ")
