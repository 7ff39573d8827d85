"""The types that a column of text can be given, as SQL expressions. Pure.

Data arrives as text. `cast` gives an expression that is null where the text is not of the type,
so a value that is there before and null afterwards is a bad one.
"""

from enum import StrEnum

_INTEGER = r"\s*[+-]?\d+\s*"
_NUMBER = r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*"
_DATE = r"\s*\d{4}-\d{2}-\d{2}\s*"
_INSTANT = r"\s*\d{4}-\d{2}-\d{2}([T ].*)?"
_EXACT = 2**53  # whole numbers up to here are exact as floating point


class ColumnType(StrEnum):
    """What the values of a column are.

    integer: whole numbers of 64 bits; `517`, `517.0` and `1e3` are the same kind of thing to the
    programs that write CSV. number: finite floating point. timestamp: an instant in ISO 8601,
    kept as UTC without a zone; one without an offset is taken as UTC. date: `YYYY-MM-DD`.
    """

    INTEGER = "integer"
    NUMBER = "number"
    STRING = "string"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"
    DATE = "date"


NUMBERS = frozenset({ColumnType.INTEGER, ColumnType.NUMBER})
"""The types of which the engine can read the text itself, as a number."""


def cast(text: str, column_type: ColumnType) -> str:
    """Return SQL for the value of `text`, itself SQL of type VARCHAR; null if it has none."""
    match column_type:
        case ColumnType.INTEGER:
            whole, number = f"try_cast({text} as bigint)", _number(text)
            return (
                f"case when {_is_plain(text)} then {whole} "
                f"when {_matches(text, _INTEGER)} then try_cast(trim({text}) as bigint) "
                f"when {_is_whole(number)} then try_cast({number} as bigint) end"
            )
        case ColumnType.NUMBER:
            plain = f"cast(try_cast({text} as bigint) as double)"
            return f"case when {_is_plain(text)} then {plain} else {_number(text)} end"
        case ColumnType.STRING:
            return text
        case ColumnType.BOOLEAN:
            return f"try_cast(trim({text}) as boolean)"
        case ColumnType.TIMESTAMP:
            instant = f"try_cast(trim({text}) as timestamptz) at time zone 'UTC'"
            return f"case when {_matches(text, _INSTANT)} then {instant} end"
        case ColumnType.DATE:
            return f"case when {_matches(text, _DATE)} then try_cast(trim({text}) as date) end"


def of_number(number: str, column_type: ColumnType) -> str:
    """Return SQL for what `cast` gives, of a text that was read as `number`, SQL of type DOUBLE.

    It is null also where the number alone does not tell: of an integer that is no exact number.
    """
    if column_type is ColumnType.INTEGER:
        return f"case when {_is_whole(number)} then cast({number} as bigint) end"
    return f"case when isfinite({number}) then {number} end"


def _number(text: str) -> str:
    number = f"try_cast(trim({text}) as double)"
    return f"case when {_matches(text, _NUMBER)} and isfinite({number}) then {number} end"


def _is_plain(text: str) -> str:
    """Return SQL for: it is a whole number as it is usually written; quick, and true of most."""
    return f"cast(try_cast({text} as bigint) as varchar) = {text}"


def _is_whole(number: str) -> str:
    return f"{number} = trunc({number}) and abs({number}) < {_EXACT}"


def _matches(text: str, pattern: str) -> str:
    return f"regexp_full_match({text}, '{pattern}')"
