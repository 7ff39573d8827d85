"""What is wrong with a file, and where, told from DuckDB's message. Pure."""

import re
from pathlib import Path

from datamcp.processors.engine import one_line

_REASONS = {
    "magic bytes": "not a Parquet file",
    "too small to be a Parquet": "not a Parquet file",
    "unterminated quote": "a quote is not closed, or text follows the closing quote",
    "Maximum line size": "the line is longer than 2 MB; is a quote not closed?",
    "Invalid unicode": "not UTF-8 text",
    "state machine reached an invalid state": "not CSV as RFC 4180 describes it; are line ends "
    "mixed, or is the file not text?",
}


def explain(path: Path, message: str) -> str:
    """Return what is wrong with the file, and where, from DuckDB's message."""
    found = re.search(r"CSV Error on Line: (\d+)", message)
    where = f"line {found.group(1)}: " if found else ""
    return f"{path.name}: {where}{_reason(message)}"


def _reason(message: str) -> str:
    if ragged := re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", message):
        return f"expected {ragged.group(1)} columns, found {ragged.group(2)}"
    for sign, reason in _REASONS.items():
        if sign in message:
            return reason
    return one_line(message.partition("\n")[0].removeprefix("Invalid Input Error: "))
