"""`file.write`: a table of the run becomes a Parquet, CSV or JSON lines file."""

# ruff: noqa: S608  every name and text goes through identifier() and literal()

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from pydantic import Field

from datamcp.processors.engine import PARQUET, copy_out, parquet
from datamcp.processors.file_format import FileFormat, format_of, is_gzip
from datamcp.processors.processor import Inputs, Output, ProcessingConfig, ProcessingResult
from datamcp.processors.table_processor import TableProcessor, only_table
from datamcp.storage.artifacts import Workspace
from datamcp.storage.atomic import written_whole
from datamcp.storage.remote import RemoteFiles, is_remote
from datamcp.storage.roots import AllowedRoots


class FileWriteConfig(ProcessingConfig):
    """Where the file goes, and its format, if the ending of `path` does not tell.

    A relative `path` is inside the run's artifacts; an absolute one, or a URL, lies inside
    `storage.allowed_roots`. A file of that name is replaced in one step.
    """

    path: str = Field(min_length=1)
    format: FileFormat | None = None


class FileWrite(TableProcessor[FileWriteConfig]):
    """Writes its one input to a file, which is whole or not there."""

    config_model = FileWriteConfig

    def run(self, inputs: Inputs, config: FileWriteConfig) -> ProcessingResult:
        """Write the file; ProcessingError if there is not exactly one table to write."""
        source = only_table(inputs, "file.write")
        options = _options(format_of(config.path, config.format), config.path)
        final, writing = place(config.path, inputs.workspace, self._roots)
        with writing as part:
            with self.engine(inputs, files=[source, part]) as connection:
                query = f"select * from {parquet(source)}"
                records = copy_out(connection, query, part, options=options)
            size = part.stat().st_size
        return ProcessingResult(
            output=Output(path=final, records_out=records, bytes_out=size),
            records_in=records,
            records_out=records,
            bytes_in=source.stat().st_size,
            bytes_out=size,
        )


def _options(file_format: FileFormat, path: str) -> str:
    compression = "gzip" if is_gzip(path) else "none"
    match file_format:
        case FileFormat.CSV:
            return f"format csv, header true, compression {compression}"
        case FileFormat.JSONL:
            return f"format json, array false, compression {compression}"
        case FileFormat.PARQUET:
            return PARQUET


def place(
    path: str, workspace: Workspace, roots: AllowedRoots
) -> tuple[str, AbstractContextManager[Path]]:
    """Return where a file will be, and what gives a path to write it to before.

    ProcessingError for a place that may not be written.
    """
    if is_remote(path):
        url = roots.remote.destination(path)
        return url, _sent(roots.remote, url, workspace)
    if "://" in path or Path(path).is_absolute():
        final = roots.destination(path)
        return str(final), written_whole(final)
    return workspace.path_of(path), workspace.publish(path)


@contextmanager
def _sent(remote: RemoteFiles, url: str, workspace: Workspace) -> Iterator[Path]:
    with workspace.scratch() as scratch:
        part = scratch / "file"
        yield part
        remote.send(part, url)
