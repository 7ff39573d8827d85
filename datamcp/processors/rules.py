"""The rules for the columns of a table, and the SQL that finds the rows that break them. Pure.

The queries read the view `CHECKED`: the input's rows with their number (the first data row is 1)
and, for each column under a rule, its text and its typed value. What they find is collected in the
table `BROKEN` (row, column, rule, value).
"""

# ruff: noqa: S608  every name and text goes through identifier() and literal()

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from datamcp.processors.column_type import ColumnType, cast
from datamcp.processors.engine import identifier, literal

CHECKED = '"checked rows"'
BROKEN = '"broken rules"'
_ROW = '"row number"'

Scalar = bool | int | float | str

_NUMERIC = frozenset({ColumnType.INTEGER, ColumnType.NUMBER})
_TEMPORAL = frozenset({ColumnType.TIMESTAMP, ColumnType.DATE})


class ColumnRules(BaseModel):
    """What the values of one column must be; an empty value breaks `required` only.

    `minimum` and `maximum` are included, `pattern` must match the whole text (RE2), `values` are
    all that may occur. Limits of a timestamp or date are written as ISO 8601.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: ColumnType | None = None
    required: bool = False
    minimum: int | float | str | None = None
    maximum: int | float | str | None = None
    pattern: str | None = None
    values: list[Scalar] | None = None


@dataclass(frozen=True, slots=True)
class TableRules:
    """The rules of a table; `references` maps a column to SQL of the values it may have."""

    columns: Mapping[str, ColumnRules]
    key: Sequence[str]
    references: Mapping[str, str]

    def by_column(self) -> dict[str, ColumnRules]:
        """Return the rules of every column that has any; a key's columns may not be empty."""
        rules = dict(self.columns)
        rules |= {name: ColumnRules() for name in self.references if name not in rules}
        for name in self.key:
            rules[name] = rules.get(name, ColumnRules()).model_copy(update={"required": True})
        return rules


class Broken(NamedTuple):
    """How many rows broke one rule."""

    column: str
    rule: str
    rows: int


class _Check(NamedTuple):
    column: str
    rule: str
    condition: str  # SQL, true where the rule is broken


def fault_of(rules: ColumnRules) -> str | None:
    """Return why these rules can never be checked, or None."""
    for name, limit in (("minimum", rules.minimum), ("maximum", rules.maximum)):
        if limit is not None and not _fits_limit(limit, rules.type):
            return f"{name} {limit!r} does not fit type {rules.type or 'string'}"
    if _is_above(rules):
        return f"minimum {rules.minimum!r} is above maximum {rules.maximum!r}"
    wrong = [value for value in rules.values or [] if not _fits_value(value, rules.type)]
    if wrong:
        return f"values {wrong!r} do not fit type {rules.type or 'string'}"
    try:
        re.compile(rules.pattern or "")
    except re.error as error:
        return f"pattern {rules.pattern!r} is not a regular expression: {error}"
    return None


def checked(rules: TableRules, source: str) -> str:
    """Return the query of `CHECKED`; `source` is SQL with the column `file_row_number`."""
    ruled = rules.by_column()
    texts = [f"cast({identifier(name)} as varchar) as {_text(name)}" for name in ruled]
    values = [
        f"{cast(_text(name), rule.type or ColumnType.STRING)} as {_value(name)}"
        for name, rule in ruled.items()
    ]
    numbered = f"* exclude (file_row_number), file_row_number + 1 as {_ROW}"
    rows = f"select {', '.join([numbered, *texts])} from {source}"
    return f"select {', '.join(['*', *values])} from ({rows})"


def failures(rules: TableRules) -> str:
    """Return the query of every broken rule except the key."""
    checks = list(_checks(rules))
    if not checks:
        return "select 0::bigint as row, '' as column, '' as rule, '' as value where false"
    flags = [f'"broken {number}"' for number in range(len(checks))]
    conditions = [f"{check.condition} as {flag}" for check, flag in zip(checks, flags, strict=True)]
    found = [
        f"case when {flag} then {{'column': {literal(check.column)}, "
        f"'rule': {literal(check.rule)}, 'value': {_text(check.column)}}} end"
        for check, flag in zip(checks, flags, strict=True)
    ]
    flagged = f"select *, {', '.join(conditions)} from {CHECKED}"
    each = f"select {_ROW} as row, unnest([{', '.join(found)}]) as failure from ({flagged}) "
    return (
        'select row, failure."column" as "column", failure.rule as rule, failure.value as value '
        f"from ({each} where {' or '.join(flags)}) where failure is not null"
    )


def duplicates(key: Sequence[str]) -> str:
    """Return the query of the rows whose key an earlier good row has, as broken rules."""
    values = ", ".join(_value(name) for name in key)
    texts = ", ".join(_text(name) for name in key)
    good = f"{CHECKED} anti join (select distinct row as {_ROW} from {BROKEN}) using ({_ROW})"
    return (
        f"select {_ROW}, {literal(', '.join(key))}, 'unique', value from ("
        f"select {_ROW}, concat_ws(', ', {texts}) as value, "
        f"row_number() over (partition by {values} order by {_ROW}) as nth from {good}"
        ") where nth > 1"
    )


def kept(rules: TableRules, columns: Sequence[str]) -> str:
    """Return the query of the good rows, in order, their columns cast to their types."""
    ruled = rules.by_column()
    parts = [
        f"{_value(name)} as {identifier(name)}"
        if name in ruled and ruled[name].type
        else identifier(name)
        for name in columns
    ]
    broken = f"(select distinct row as {_ROW} from {BROKEN})"
    return f"select {', '.join(parts)} from {CHECKED} anti join {broken} using ({_ROW})"


def sentence(
    rejected: int, broken: Sequence[Broken], rules: TableRules, names: Mapping[str, str]
) -> str:
    """Return how many rows were set aside and why; `names` says what a column refers to."""
    ruled = rules.by_column()
    reasons = [f"{_reason(b, ruled, names)} ({b.rows:,})" for b in broken]
    rows = "1 row" if rejected == 1 else f"{rejected:,} rows"
    return f"{rows} set aside: {', '.join(reasons)}"


def _checks(rules: TableRules) -> Iterator[_Check]:
    for name, rule in rules.by_column().items():
        text, value = _text(name), _value(name)
        if rule.required:
            yield _Check(name, "required", f"{text} is null")
        if rule.type not in {None, ColumnType.STRING}:
            yield _Check(name, "type", f"{text} is not null and {value} is null")
        if rule.minimum is not None:
            yield _Check(name, "minimum", f"{value} < {_constant(rule.minimum, rule.type)}")
        if rule.maximum is not None:
            yield _Check(name, "maximum", f"{value} > {_constant(rule.maximum, rule.type)}")
        if rule.pattern is not None:
            pattern = literal(rule.pattern)
            yield _Check(name, "pattern", f"not regexp_full_match({text}, {pattern})")
        if rule.values is not None:
            known = [f"{value} = {_constant(allowed, rule.type)}" for allowed in rule.values]
            yield _Check(name, "values", f"{value} is not null and not ({_any(known)})")
        if name in rules.references:
            query = rules.references[name]
            yield _Check(name, "reference", f"cast({value} as varchar) not in ({query})")


def _any(conditions: Sequence[str]) -> str:
    return " or ".join(conditions) or "false"


def _reason(broken: Broken, ruled: Mapping[str, ColumnRules], names: Mapping[str, str]) -> str:
    if broken.rule == "unique":
        return f"{broken.column} not unique"
    rule = ruled[broken.column]
    said = {
        "required": "empty",
        "type": f"not of type {rule.type}",
        "minimum": f"below {rule.minimum}",
        "maximum": f"above {rule.maximum}",
        "pattern": f"does not match {rule.pattern}",
        "values": "not an allowed value",
        "reference": f"not in {names.get(broken.column, '')}",
    }
    return f"{broken.column} {said[broken.rule]}"


def _constant(value: Scalar, column_type: ColumnType | None) -> str:
    text = literal(str(value))
    if column_type in _NUMERIC:
        return f"cast({text} as {'bigint' if isinstance(value, int) else 'double'})"
    return cast(text, column_type or ColumnType.STRING)


def _fits_limit(limit: Scalar, column_type: ColumnType | None) -> bool:
    if column_type in _NUMERIC:
        return _is_number(limit)
    return column_type in _TEMPORAL and isinstance(limit, str) and _is_instant(limit)


def _fits_value(value: Scalar, column_type: ColumnType | None) -> bool:
    if column_type in _NUMERIC:
        return _is_number(value)
    if column_type is ColumnType.BOOLEAN:
        return isinstance(value, bool)
    return isinstance(value, str)


def _is_number(value: Scalar) -> bool:
    return not isinstance(value, (bool, str)) and isfinite(value) and abs(value) < 2**63


def _is_instant(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _is_above(rules: ColumnRules) -> bool:
    low, high = rules.minimum, rules.maximum
    if isinstance(low, str) or isinstance(high, str):
        return False  # instants in several spellings: an empty range shows itself
    return low is not None and high is not None and low > high


def _text(name: str) -> str:
    return identifier(f"text of {name}")


def _value(name: str) -> str:
    return identifier(f"value of {name}")
