"""The file formats that can be read and written, told from a file's name. Pure."""

from enum import StrEnum

from datamcp.errors import ProcessingError


class FileFormat(StrEnum):
    """How a file holds a table; CSV and JSON lines may be compressed with gzip (`….gz`)."""

    CSV = "csv"
    PARQUET = "parquet"
    JSONL = "jsonl"


_BY_ENDING = {
    ".csv": FileFormat.CSV,
    ".parquet": FileFormat.PARQUET,
    ".jsonl": FileFormat.JSONL,
    ".ndjson": FileFormat.JSONL,
}


def is_gzip(name: str) -> bool:
    """Tell whether a file of this name is compressed with gzip."""
    return name.lower().endswith(".gz")


def format_of(name: str, given: FileFormat | None) -> FileFormat:
    """Return the given format, else the one that the name's ending says.

    ProcessingError if neither tells, or for a Parquet file in gzip, which nothing can read.
    """
    plain = name.lower().removesuffix(".gz")
    told = given or next((f for end, f in _BY_ENDING.items() if plain.endswith(end)), None)
    if told is None:
        endings = ", ".join(_BY_ENDING)
        raise ProcessingError(
            f"the format of {name!r} cannot be told from its ending ({endings}, the text formats "
            "also with .gz); set format"
        )
    if told is FileFormat.PARQUET and is_gzip(name):
        raise ProcessingError(f"{name!r}: Parquet compresses itself and is not read from .gz")
    return told
