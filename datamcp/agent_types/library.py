"""The documents that the research agent reads for one task: found, counted, and reported on."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath

from datamcp.agent_types.reading.hits import by_source, document_of
from datamcp.agent_types.reading.results import SearchResult, SkippedFile
from datamcp.errors import ProcessingError
from datamcp.processors.documents.document import Document, Skipped
from datamcp.processors.documents.folder import Limits, read_folder
from datamcp.tasks.context import TaskContext

READING = 0.6  # of the work
_STEP = 0.01  # of the work, after which it is told how far it is
_MOST_SKIPPED = 1_000  # files that are listed


class Library:
    """Reads documents within limits, and tells the task how far it is."""

    def __init__(self, context: TaskContext, file_bytes: int, total_bytes: int) -> None:
        """Take the task, and how many bytes one file and all together may have."""
        self.folder = ""
        self._context = context
        self._file_bytes = file_bytes
        self._left = total_bytes
        self._skipped: list[SkippedFile] = []
        self._warnings: list[str] = []
        self._told = 0.0

    @property
    def skipped(self) -> tuple[SkippedFile, ...]:
        """Return the files that were not read; the first ones, if there are very many."""
        return tuple(self._skipped[:_MOST_SKIPPED])

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what may be wrong with what was read."""
        more = len(self._skipped) - _MOST_SKIPPED
        told = [f"{more:,} more files were skipped"] if more > 0 else []
        return (*self._warnings, *told)

    def read(self, folder: str) -> list[Document]:
        """Read all documents below a folder, or the one document that it is.

        Raises ProcessingError if it is not there, or the task was cancelled.
        """
        path = self._context.find(folder)
        self.folder = folder.rstrip("/") or folder
        if path.is_file():
            parent = PurePosixPath(folder).parent.as_posix()
            self.folder = "" if parent == "." else parent
        return list(self._read(folder, prefix=""))

    def read_all(self, sources: Sequence[str]) -> list[Document]:
        """Read documents, and all below folders; each is known by its path as it was given."""
        found: dict[str, Document] = {}
        for number, source in enumerate(sources):
            self._told = number / len(sources) * READING
            is_folder = self._context.find(source).is_dir()
            parent = PurePosixPath(source if is_folder else PurePosixPath(source).parent)
            prefix = "" if parent == PurePosixPath() else f"{parent}/"
            found |= {document.source: document for document in self._read(source, prefix)}
        return list(found.values())

    def read_hits(self, found: SearchResult) -> list[Document]:
        """Return what a search has found as documents that have nothing else.

        Each source is read once more, for the lines of its sentences. Where it can't be read, what
        the search has given back has to do.
        """
        self.folder = found.folder
        return [
            document_of(hits, self._again(found.folder, source))
            for source, hits in by_source(found.hits).items()
        ]

    def watched(self, documents: Iterable[Document]) -> Iterator[Document]:
        """Yield documents one after the other, and tell how far it is."""
        every = list(documents)
        for number, document in enumerate(every):
            self._tell(READING + (1 - READING) * number / len(every))
            yield document

    def _read(self, path: str, prefix: str) -> Iterator[Document]:
        begin = self._told
        limits = Limits(file_bytes=self._file_bytes, total_bytes=self._left)
        root = self._context.find(path)

        def tell(share: float) -> None:
            self._tell(begin + share * (READING - begin))

        for found in read_folder(root, limits, on_progress=tell):
            match found:
                case Skipped(source, reason):
                    self._skipped.append(SkippedFile(source=prefix + source, reason=reason))
                case Document():
                    self._left -= found.size
                    self._warnings += [f"{prefix}{found.source}: {one}" for one in found.warnings]
                    yield _renamed(found, prefix) if prefix else found

    def _again(self, folder: str, source: str) -> Document | None:
        path = f"{folder}/{source}" if folder else source
        try:
            documents = [one for one in self._read(path, prefix="") if isinstance(one, Document)]
        except ProcessingError:
            return None
        return documents[0] if len(documents) == 1 else None

    def _tell(self, progress: float) -> None:
        """Record how far the work is, if that has changed; ProcessingError if it was cancelled."""
        if progress < self._told + _STEP and self._told:
            return
        self._told = progress
        self._context.heartbeat(min(progress, 1.0))
        if self._context.cancelled:
            raise ProcessingError("cancelled on request")


def _renamed(document: Document, prefix: str) -> Document:
    return Document(
        source=prefix + document.source,
        title=document.title,
        blocks=document.blocks,
        metadata=document.metadata,
        size=document.size,
        warnings=document.warnings,
    )
