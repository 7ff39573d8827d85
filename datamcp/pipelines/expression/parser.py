"""The tokens of an expression as instructions for a stack. Pure.

A parser by precedence, after V. Pratt, "Top Down Operator Precedence", 1973. It emits what is to
be done in the order in which it is done, so that evaluating needs no recursion; `and`, `or` and
`default` jump over what is not wanted.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, cast

from datamcp.errors import ExpressionError
from datamcp.naming import did_you_mean
from datamcp.pipelines.expression.lexer import RESERVED, Token, tokens
from datamcp.pipelines.expression.names import SOURCES, STEP_FIELDS, Names, is_id
from datamcp.pipelines.expression.operations import (
    FUNCTIONS,
    OPERATORS,
    Function,
    exists,
    get,
    is_false,
    is_true,
    listed,
    negate,
)
from datamcp.pipelines.references import Reference, Source

MAX_LENGTH = 2_000
"""Characters that an expression may have."""

MAX_DEPTH = 50
"""How many parentheses, operators and calls may stand one inside of the other."""


_MAX_SHOWN = 40  # characters of a token that a message repeats


@dataclass(frozen=True, slots=True)
class Push:
    """Put a value on the stack."""

    value: Any


@dataclass(frozen=True, slots=True)
class Load:
    """Put what a reference names on the stack."""

    reference: Reference


@dataclass(frozen=True, slots=True)
class Apply:
    """Put the result of a function in place of its arguments, the last `count` of the stack."""

    function: Function
    count: int


@dataclass(frozen=True, slots=True)
class Jump:
    """Go on at `to` if the last value of the stack is such, else drop it."""

    condition: Callable[[Any], bool]
    to: int


Instruction = Push | Load | Apply | Jump

_OR, _AND, _NOT, _COMPARE, _SUM, _PRODUCT, _SIGN = range(1, 8)
_LEVELS = {
    "or": _OR,
    "and": _AND,
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "in", "not in"), _COMPARE),
    **dict.fromkeys("+-", _SUM),
    **dict.fromkeys("*/%", _PRODUCT),
}
_CONSTANTS = {
    "true": True,
    "True": True,
    "false": False,
    "False": False,
    "null": None,
    "None": None,
}
_SKIPPING: dict[str, Callable[[Any], bool]] = {"and": is_false, "or": is_true}
_FUNCTION_NAMES = (*FUNCTIONS, "default")


@dataclass(frozen=True, slots=True)
class Parsed:
    """An expression as instructions, and all that it names."""

    code: tuple[Instruction, ...]
    references: frozenset[Reference]


def parse_code(text: str, names: Names) -> Parsed:
    """Return the instructions of an expression; raises ExpressionError."""
    if len(text) > MAX_LENGTH:
        message = f"is longer than {MAX_LENGTH:,} characters, the most that an expression may have"
        raise ExpressionError(message, MAX_LENGTH + 1)
    parser = _Parser([*tokens(text, names)], names)
    parser.whole()
    return Parsed(tuple(parser.code), frozenset(parser.references))


@dataclass(slots=True)
class _Parser:
    tokens: list[Token]
    names: Names
    at: int = 0
    depth: int = 0
    code: list[Instruction] = field(default_factory=list)
    references: set[Reference] = field(default_factory=set)

    @property
    def next(self) -> Token:
        return self.tokens[self.at]

    def take(self) -> Token:
        token = self.next
        self.at += token.kind != "end"
        return token

    def takes(self, symbol: str) -> bool:
        found = self.next.is_symbol(symbol)
        self.at += found
        return found

    def whole(self) -> None:
        self.expression()
        if self.next.kind != "end":
            raise _expected("an operator", self.next)

    def expression(self, floor: int = 0) -> None:
        """Read a value and all operators behind it that bind at least as firmly as `floor`."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            column = self.next.column
            message = f"is nested more than {MAX_DEPTH} levels deep at column {column}"
            raise ExpressionError(message, column)
        self.prefix(floor)
        while (operator := self.operator()) and _LEVELS[operator] >= floor:
            self.infix(operator)
        self.depth -= 1

    def operator(self) -> str:
        # The operator that comes next, or nothing.
        token = self.next
        if token.is_word("not") and self.tokens[self.at + 1].is_word("in"):
            return "not in"
        is_operator = token.kind in {"word", "symbol"} and token.text in _LEVELS
        return token.text if is_operator else ""

    def infix(self, operator: str) -> None:
        self.at += 2 if operator == "not in" else 1
        level = _LEVELS[operator]
        if operator in _SKIPPING:
            self.lazily(_SKIPPING[operator], level + 1)
            return
        self.expression(level + 1)
        self.code.append(Apply(OPERATORS[operator], 2))
        if level == _COMPARE and _LEVELS.get(self.operator()) == _COMPARE:
            column = self.next.column
            message = f"comparisons can't be chained, at column {column}; join them with 'and'"
            raise ExpressionError(message, column)

    def lazily(self, condition: Callable[[Any], bool], floor: int) -> None:
        place = len(self.code)
        self.code.append(Jump(condition, 0))
        self.expression(floor)
        self.code[place] = Jump(condition, len(self.code))

    def prefix(self, floor: int) -> None:
        token = self.take()
        if token.is_word("not") and floor <= _NOT:
            self.expression(_NOT)
            self.code.append(Apply(is_false, 1))
        elif token.is_symbol("-"):
            self.expression(_SIGN)
            self.code.append(Apply(negate, 1))
        else:
            self.primary(token)
            self.postfix()

    def primary(self, token: Token) -> None:
        match token:
            case Token("number" | "text"):
                self.code.append(Push(token.value))
            case Token("word", "true" | "True" | "false" | "False" | "null" | "None"):
                self.code.append(Push(_CONSTANTS[token.text]))
            case Token("symbol", "("):
                self.expression()
                self.expect(")")
            case Token("symbol", "["):
                self.code.append(Apply(listed, self.arguments("]")))
            case Token("symbol", "${"):
                self.reference(self.take())
                self.postfix()
                self.expect("}")
            case Token("word") if self.next.is_symbol("(") and token.text not in RESERVED:
                self.call(token)
            case _:
                self.reference(token)

    def postfix(self) -> None:
        while self.next.is_symbol(".", "["):
            if self.takes("."):
                self.code.append(Push(self.key("a key")))
            else:
                self.at += 1
                self.expression()
                self.expect("]")
            self.code.append(Apply(get, 2))

    def key(self, wanted: str) -> str:
        token = self.take()
        if token.kind != "word":
            raise _expected(wanted, token)
        return token.text

    def expect(self, symbol: str) -> None:
        if not self.takes(symbol):
            raise _expected(f"'{symbol}'", self.next)

    def arguments(self, end: str) -> int:
        """Read what stands between commas up to `end`, and return how many there were."""
        count = 0
        while not self.takes(end):
            if count and not self.takes(","):
                raise _expected(f"',' or '{end}'", self.next)
            self.expression()
            count += 1
        return count

    def call(self, token: Token) -> None:
        name, at = token.text, f"at column {token.column}"
        if name not in _FUNCTION_NAMES:
            hint = did_you_mean(name, _FUNCTION_NAMES)
            raise ExpressionError(f"unknown function {name!r} {at}{hint}", token.column)
        self.expect("(")
        if name == "default":
            self.expression()
            if not self.takes(","):
                raise _wrong_count(token, "2 arguments", 1)
            self.lazily(exists, 0)
            if not self.takes(")"):
                raise _expected("')'", self.next)
            return
        function, least, most = FUNCTIONS[name]
        count = self.arguments(")")
        if not least <= count <= most:
            wanted = "1 argument" if most == 1 else f"{most} arguments"
            wanted = f"1 to {wanted}" if least != most else wanted
            raise _wrong_count(token, wanted, count)
        self.code.append(Apply(function, count))

    def reference(self, token: Token) -> None:
        match token:
            case Token("name"):
                source, name = token.source, str(token.value)
            case Token("item"):
                source, name = "item", token.source
            case Token("word", text) if text in SOURCES:
                source, name = text, self.quoted(token)
            case Token("word", text) if text not in RESERVED:
                hint = did_you_mean(text, [*SOURCES, *self.names.items])
                message = f"unknown name {text!r} at column {token.column}{hint}"
                raise ExpressionError(message, token.column)
            case _:
                raise _expected("a value", token)
        if source in SOURCES:
            _check_known(token, source, name, self.names.known(source))
        is_field = source == "outputs" and self.takes(".")
        found = Reference(cast(Source, source), name, self.field() if is_field else "")
        self.references.add(found)
        self.code.append(Load(found))

    def quoted(self, token: Token) -> str:
        what = SOURCES[token.text]
        if not self.takes("["):
            message = f"{token.text!r} at column {token.column} needs the name of a {what}"
            raise ExpressionError(f"{message}, as in {token.text}.NAME", token.column)
        name = self.take()
        if name.kind != "text" or not is_id(str(name.value)):
            raise _expected(f"the name of a {what} in quotes", name)
        self.expect("]")
        return str(name.value)

    def field(self) -> str:
        column = self.next.column
        name = self.key("what of the step")
        if name not in STEP_FIELDS:
            hint = did_you_mean(name, STEP_FIELDS)
            message = f"an output has {', '.join(STEP_FIELDS)}, not {name!r}, at column {column}"
            raise ExpressionError(message + hint, column)
        return name


def _check_known(token: Token, source: str, name: str, known: Collection[str] | None) -> None:
    if known is not None and name not in known:
        message = f"unknown {SOURCES[source]} {name!r} at column {token.column}"
        raise ExpressionError(message + did_you_mean(name, known), token.column)


def _expected(wanted: str, token: Token) -> ExpressionError:
    text = token.text if len(token.text) <= _MAX_SHOWN else token.text[: _MAX_SHOWN - 1] + "…"
    got = f"got {text!r}" if text else "where the text ends"
    message = f"expected {wanted} at column {token.column}, {got}"
    return ExpressionError(message, token.column)


def _wrong_count(token: Token, wanted: str, count: int) -> ExpressionError:
    message = f"{token.text} at column {token.column} takes {wanted}, got {count}"
    return ExpressionError(message, token.column)
