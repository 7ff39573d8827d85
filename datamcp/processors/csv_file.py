"""CSV files: the checks before DuckDB reads them, and the SQL that reads them.

DuckDB finds ragged lines and open quotes by itself, but does not look at gzip's checksum, renames
duplicate columns and guesses headers. So the header is read here, once, and the checksum tested.
"""

# ruff: noqa: S608  every name and text goes through identifier() and literal()

import csv
import gzip
import io
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import BinaryIO, cast

from datamcp.errors import ProcessingError
from datamcp.processors.engine import identifier, literal
from datamcp.processors.file_format import is_gzip

_CHUNK = 1 << 20  # bytes


def check_gzip(path: Path) -> None:
    """Read a gzip file to its end, in pieces; ProcessingError if it is damaged or none."""
    with _opened(path) as file:
        while file.read(_CHUNK):
            pass


def read_header(path: Path, delimiter: str) -> list[str]:
    """Return the names in the first line; ProcessingError for a header that cannot be used."""
    with _opened(path) as file:
        head = file.read(_CHUNK).decode("utf-8-sig", errors="surrogateescape")
    try:
        names = next(
            csv.reader(io.StringIO(head, newline=""), delimiter=delimiter, strict=True), []
        )
    except csv.Error as error:
        raise ProcessingError(f"{path.name}: line 1: {error}") from error
    _check_names(path, names)
    return names


def has_underscores(path: Path) -> bool:
    """Return whether one is in a file, after its first line: DuckDB takes `1_000` for a number."""
    with path.open("rb") as file:
        file.readline()
        here = file.tell()
        try:
            with mmap(file.fileno(), 0, access=ACCESS_READ) as content:
                return content.find(b"_", here) >= 0
        except ValueError:  # it is empty
            return False


def select_csv(
    path: Path,
    names: Sequence[str],
    *,
    delimiter: str,
    null_values: Sequence[str],
    numbers: Collection[str] = (),
) -> str:
    """Return the query that reads every column as text, strictly as RFC 4180 says.

    The columns `numbers` are read as DuckDB reads numbers.
    """
    columns = ", ".join(
        f"{identifier(name)}: '{'DOUBLE' if name in numbers else 'VARCHAR'}'" for name in names
    )
    nulls = ", ".join(literal(value) for value in null_values)
    return (
        f"select * from read_csv({literal(str(path))}, columns = {{{columns}}}, header = true, "
        f"delim = {literal(delimiter)}, quote = '\"', escape = '\"', nullstr = [{nulls}], "
        f"compression = '{'gzip' if is_gzip(path.name) else 'none'}', "
        "auto_detect = false, strict_mode = true, hive_partitioning = false)"
    )


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with cast(BinaryIO, gzip.open(path)) if is_gzip(path.name) else path.open("rb") as file:
            yield file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ProcessingError(f"{path.name}: the gzip file is damaged: {error}") from error
    except OSError as error:
        raise ProcessingError(f"{path.name}: cannot be read: {error.strerror}") from error


def _check_names(path: Path, names: Sequence[str]) -> None:
    if not names:
        raise ProcessingError(f"{path.name}: line 1: no header; the file is empty or starts blank")
    if not "".join(names).isprintable():  # bytes that are no UTF-8 have become surrogates
        raise ProcessingError(f"{path.name}: line 1: the header is not UTF-8 text")
    for number, name in enumerate(names, start=1):
        if not name.strip():
            raise ProcessingError(f"{path.name}: line 1: column {number} of the header has no name")
    counted = Counter(name.lower() for name in names)  # SQL does not tell A from a
    doubled = [name for name in names if counted[name.lower()] > 1]
    if doubled:
        raise ProcessingError(
            f"{path.name}: line 1: duplicate column names: {', '.join(map(repr, doubled))}"
        )
