"""`document.extract`: documents become a table of their paragraphs, sections, or pieces of a size."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import Field

from datamcp.errors import ProcessingError
from datamcp.processors.document_rows import COLUMNS, Split, SplitParagraphs, rows_of
from datamcp.processors.documents.document import Document, Skipped
from datamcp.processors.documents.folder import Limits, read_folder
from datamcp.processors.documents.pattern import divided, is_pattern, matcher
from datamcp.processors.json_rows import RowWriter, write_table
from datamcp.processors.processor import Inputs, ProcessingConfig, ProcessingResult
from datamcp.processors.table_processor import TABLE, TableProcessor, table_output

_HIDDEN = "hidden"
_MAX_WARNINGS = 100


class DocumentExtractConfig(ProcessingConfig):
    """Which documents, and how they are split in rows.

    `path` is a file, a folder with all below it, or a pattern (`notes/**/*.md`): inside
    `storage.allowed_roots`, of the shipped data, or a file of the run. Text, Markdown, HTML and PDF
    are read; what is hidden is left out. Any other file, one that can't be read and what is above
    the limits fails the step; with `on_error: skip` it is counted as rejected, and named in a
    warning.

    The columns are `document`, its path; `title`; `kind`: heading, paragraph, item, table, code,
    section or piece; `page` of a PDF; `section`, the heading above; `number` of the row in its
    document, from 1; `position`, where the text begins, in characters of the document's; `text`.
    """

    path: str = Field(min_length=1)
    split: Split = Field(default_factory=SplitParagraphs)
    on_error: Literal["fail", "skip"] = "fail"
    max_files: int = Field(default=10_000, ge=1)
    max_file_bytes: int = Field(default=10_000_000, ge=1)
    max_bytes: int = Field(default=200_000_000, ge=1)


@dataclass
class _Count:
    documents: int = 0
    size: int = 0
    skipped: int = 0
    warnings: list[str] = field(default_factory=list)

    def warn(self, source: str, reason: str) -> None:
        self.warnings.append(f"{source}: {reason}")


class DocumentExtract(TableProcessor[DocumentExtractConfig]):
    """Reads documents and keeps their text, split, as a table."""

    config_model = DocumentExtractConfig

    def run(self, inputs: Inputs, config: DocumentExtractConfig) -> ProcessingResult:
        """Read all documents; ProcessingError names the first one that can't be, unless skipped."""
        count = _Count()
        with inputs.workspace.scratch() as scratch:
            root, is_wanted = self._place(config.path, scratch / "copies")
            rows = scratch / "rows"
            with rows.open("w", encoding="utf-8", errors="replace") as file:
                writer = RowWriter(file)
                for document in _documents(root, is_wanted, config, count):
                    for row in rows_of(document, config.split):
                        writer.write(row)
            _require_some(config.path, count)
            with (
                inputs.workspace.publish(TABLE) as part,
                self.engine(inputs, files=[rows, part]) as connection,
            ):
                records = write_table(connection, rows, part, COLUMNS)
        output = table_output(inputs.workspace, records)
        return ProcessingResult(
            output=output,
            records_in=count.documents + count.skipped,
            records_out=records,
            records_rejected=count.skipped,
            bytes_in=count.size,
            bytes_out=output.bytes_out or 0,
            warnings=_shortened(count.warnings),
        )

    def _place(self, path: str, copies: Path) -> tuple[Path, Callable[[str], bool]]:
        """Return the file or folder to read, and which files below it are meant."""
        if not is_pattern(path):
            return self._roots.at_hand(path, copies), lambda _: True
        folder, pattern = divided(path)
        root = self._roots.at_hand(folder, copies)
        if not root.is_dir():
            raise ProcessingError(
                f"{folder!r} is no folder, and {path!r} a pattern for files in it"
            )
        return root, matcher(pattern)


def _documents(
    root: Path, is_wanted: Callable[[str], bool], config: DocumentExtractConfig, count: _Count
) -> Iterator[Document]:
    limits = Limits(
        file_bytes=config.max_file_bytes, total_bytes=config.max_bytes, files=config.max_files
    )
    for found in read_folder(root, limits, is_wanted=is_wanted):
        match found:
            case Document():
                count.documents += 1
                count.size += found.size
                for warning in found.warnings:
                    count.warn(found.source, warning)
                yield found
            case Skipped(reason=reason) if reason == _HIDDEN and root.is_dir():
                continue
            case Skipped(source=source, reason=reason) if config.on_error == "fail":
                raise ProcessingError(f"{source}: {reason} (on_error: skip goes on without it)")
            case Skipped(source=source, reason=reason):
                count.skipped += 1
                count.warn(source, reason)


def _require_some(path: str, count: _Count) -> None:
    if not count.documents:
        more = (
            f", and {count.skipped} could not be read: {count.warnings[0]}"
            if count.warnings
            else ""
        )
        raise ProcessingError(f"no document in {path!r}{more}")


def _shortened(warnings: list[str]) -> tuple[str, ...]:
    more = len(warnings) - _MAX_WARNINGS
    return (*warnings[:_MAX_WARNINGS], *([f"and {more:,} more"] if more > 0 else []))
