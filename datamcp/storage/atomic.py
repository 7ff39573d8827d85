"""Files that are whole or not there: write beside the final name, sync, rename.

A process that is killed leaves at most a file named `.<name>.<token>.part`, which nothing reads.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datamcp.errors import BackendUnavailable, ProcessingError
from datamcp.types import new_token


@contextmanager
def written_whole(final: Path) -> Iterator[Path]:
    """Give a path to write to; when the block ends well, it becomes `final` in one step.

    Missing folders are made. A file of that name is replaced. When the block fails, what it wrote
    is removed and `final` stays what it was. Two writers of one name do not meet: the last wins.
    The block must have closed the file. ProcessingError if nothing may be written there,
    BackendUnavailable if the disk fails or is full.
    """
    part = final.with_name(f".{final.name}.{new_token()}.part")
    with disk_errors(final):
        final.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield part
        with disk_errors(final):
            _sync(part)
            part.replace(final)
            _sync(final.parent)  # the new name is on the disk, too
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Translate what the operating system says about writing `path`."""
    try:
        yield
    except (PermissionError, FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise ProcessingError(f"cannot write {str(path)!r}: {error.strerror}") from error
    except OSError as error:
        reason = f"cannot write {str(path)!r}: {error.strerror or error}"
        raise BackendUnavailable("file system", reason) from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
