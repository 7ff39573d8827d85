"""Reads all documents below a folder, within limits; every other file is reported with a reason.

What is read is untrusted. Links are not followed out of the folder, nothing is read but regular
files, and neither a file nor all of them together may be larger than the limits say.
"""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from datamcp.errors import ProcessingError
from datamcp.processors.documents.document import Document, Skipped
from datamcp.processors.documents.reader import check_name, read


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is read: bytes of one file, bytes of all together, and how many files."""

    file_bytes: int = 10_000_000
    total_bytes: int = 200_000_000
    files: int = 50_000


_DEFAULT = Limits()

Found = Document | Skipped


def read_folder(
    root: Path,
    limits: Limits = _DEFAULT,
    *,
    on_progress: Callable[[float], None] = lambda _: None,
    is_wanted: Callable[[str], bool] = lambda _: True,
) -> Iterator[Found]:
    """Yield every file below a folder, or the one file that `root` is, in the order of their paths.

    Those that are not wanted, by their paths below the folder, are passed over in silence.
    `on_progress` is told, from 0 to 1, how much of the bytes has been read, before each file and
    each page of a PDF.
    """
    wanted, skipped = _chosen(root.resolve(), limits, is_wanted)
    yield from skipped
    total = sum(file.size for file in wanted) or 1
    done = 0
    for file in wanted:
        share = done / total
        on_progress(share)
        yield _read(file, lambda share=share: on_progress(share))  # type: ignore[misc]
        done += file.size


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    source: str
    size: int


def _read(file: _File, on_page: Callable[[], None]) -> Found:
    try:
        return read(file.path, file.source, on_page=on_page)
    except ProcessingError as error:
        return Skipped(file.source, str(error))


def _chosen(
    root: Path, limits: Limits, is_wanted: Callable[[str], bool]
) -> tuple[list[_File], list[Skipped]]:
    """Return the files that are to be read, and those that are not."""
    wanted: list[_File] = []
    skipped: list[Skipped] = []
    total = 0
    for path, source in _files(root, skipped):
        if not is_wanted(source):
            continue
        try:
            size = _size(path, source, root)
            _check(size, total, len(wanted), limits)
        except ProcessingError as error:
            skipped.append(Skipped(source, str(error)))
            continue
        wanted.append(_File(path, source, size))
        total += size
    return wanted, skipped


def _files(root: Path, skipped: list[Skipped]) -> Iterator[tuple[Path, str]]:
    if not root.is_dir():
        yield root, root.name
        return

    def failed(error: OSError) -> None:
        source = _source(Path(error.filename), root)
        skipped.append(Skipped(f"{source}/", f"cannot be read: {error.strerror}"))

    found: list[tuple[str, Path]] = []
    for folder, below, names in os.walk(root, onerror=failed):
        here = Path(folder)
        for name in list(below):
            if reason := _not_entered(here / name, root):
                skipped.append(Skipped(f"{_source(here / name, root)}/", reason))
                below.remove(name)
        found += [(_source(here / name, root), here / name) for name in names]
    skipped.sort(key=lambda one: one.source)
    for source, path in sorted(found):
        yield path, source


def _not_entered(folder: Path, root: Path) -> str:
    """Return why a folder is not read; '' if it is."""
    if folder.name.startswith("."):
        return "hidden"
    return _link(folder, root) if folder.is_symlink() else ""


def _link(path: Path, root: Path) -> str:
    """Say where a link leads; what lies inside is met without it."""
    try:
        target = path.resolve()
    except (OSError, RuntimeError):  # a loop of links is a RuntimeError before 3.13
        return "a link that leads nowhere"
    if not target.is_relative_to(root):
        return "a link that leads out of the folder"
    return f"a link to {_source(target, root)}" if target.exists() else "a link that leads nowhere"


def _source(path: Path, root: Path) -> str:
    """Return a path in the words of a result; bytes of a name that are no UTF-8 are written out."""
    text = path.relative_to(root).as_posix()
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _size(path: Path, source: str, root: Path) -> int:
    if path.name.startswith("."):
        raise ProcessingError("hidden")
    if path.is_symlink():
        raise ProcessingError(_link(path, root))
    try:
        status = path.stat()
    except OSError as error:
        raise ProcessingError(f"cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise ProcessingError("not a regular file")
    check_name(source)
    return status.st_size


def _check(size: int, total: int, files: int, limits: Limits) -> None:
    if size > limits.file_bytes:
        raise ProcessingError(f"too large: {size:,} bytes, at most {limits.file_bytes:,} are read")
    if total + size > limits.total_bytes:
        raise ProcessingError(
            f"not read: with it, all files have more than {limits.total_bytes:,} bytes"
        )
    if files >= limits.files:
        raise ProcessingError(f"not read: there are more than {limits.files:,} files")
