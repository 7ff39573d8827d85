"""The files that the steps of a run hand to each other, in a store behind a URL.

The names in it are those that a local store has: `<root>/<run>/<step>/<attempt>/`. What an attempt
writes goes to a folder of its process first, and to the store when it is whole; what it reads is
copied there before.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from datamcp.config.redaction import redact_url
from datamcp.errors import ConfigError, ProcessingError
from datamcp.storage.artifacts import (
    Workspace,
    folder_of,
    is_run_id,
    parts_of,
    safe,
    unusable,
)
from datamcp.storage.atomic import disk_errors
from datamcp.storage.filesystem import files_below, open_storage, put_whole, reaching, require_kind
from datamcp.storage.remote import RemoteFiles, is_below, plain
from datamcp.storage.scratch import Scratch

_FOOTER = 1 << 20  # bytes of a file's end that hold the footer of almost every table
_WRITTEN = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")


@dataclass(frozen=True)
class RemoteWorkspace(Workspace):
    """Where one attempt writes; `folder` is on this machine, and `url` where published files go."""

    url: str
    _sizes: dict[str, int] = field(default_factory=dict, repr=False)

    def publish(self, name: str) -> AbstractContextManager[Path]:
        """Give a temporary path whose file is put into the store as `name` if the block ends well.

        ProcessingError for a name that is not safe, and where the store refuses the file;
        BackendUnavailable if it does not answer.
        """
        return self._published(self.path_of(name))

    @contextmanager
    def _published(self, url: str) -> Iterator[Path]:
        with self.scratch() as folder:
            part = folder / "part"
            yield part
            with disk_errors(part):
                size = part.stat().st_size
            with reaching(url):
                storage, key = open_storage(url)
                put_whole(storage, part, key)
            self._sizes[url] = size

    def path_of(self, name: str) -> str:
        """Return the URL of the file `name`."""
        return "/".join([self.url, *parts_of(name)])

    def size_of(self, name: str) -> int:
        """Return the bytes of the file `name`, which this attempt has published."""
        return self._sizes[self.path_of(name)]


class RemoteArtifacts:
    """Gives every attempt of every step its place in a store that fsspec reaches.

    Nothing is imported or opened before a file is touched, and nothing stays open. Safe to share
    between threads, and through a fork.
    """

    is_remote = True

    def __init__(self, root_url: str, scratch: Scratch) -> None:
        """Take the root, and where files are on this machine meanwhile."""
        self.root = plain(root_url)
        self._scratch = scratch
        self._files = RemoteFiles([self.root])

    def workspace(self, run_id: str, step_id: str, attempt: int | str) -> RemoteWorkspace:
        """Return the place of one attempt; ProcessingError if an id cannot be part of a path."""
        url = "/".join([self.root, safe(run_id), folder_of(step_id), safe(str(attempt))])
        return RemoteWorkspace(self._scratch.folder(), url)

    def holds(self, location: str) -> bool:
        """Tell whether a location is a URL inside the store."""
        return is_below(location, self.root)

    def fetch_all(self, location: str, folder: Path) -> Path:
        """Copy a file, or all below a folder, of the store into a folder; return where it is now.

        ProcessingError if it is not there, or not inside; BackendUnavailable.
        """
        return self._files.fetch_all(location, folder)

    def fetch_footer(self, location: str, folder: Path) -> Path:
        """Return a file of the same size and name with the same end, and nothing before that.

        That is enough to learn a table's columns. Errors as `fetch_all`.
        """
        url = self._files.allowed(location)
        place = folder / url.rpartition("/")[2]
        with reaching(url):
            storage, key = open_storage(url)
            size = int(storage.info(key)["size"])
            end = storage.cat_file(key, start=max(0, size - _FOOTER), end=size)
        with place.open("wb") as file:
            file.write(b"PAR1")  # how a Parquet file begins
            file.seek(max(0, size - _FOOTER))
            file.write(end)
        return place

    def place_of(self, run_id: str) -> str:
        """Return where everything is that a run wrote, to be shown."""
        return f"{self.root}/{safe(run_id)}"

    def remove(self, run_id: str) -> None:
        """Remove everything that a run wrote; BackendUnavailable if the store does not answer."""
        url = self.place_of(run_id)
        with reaching(url):
            storage, key = open_storage(url)
            with suppress(FileNotFoundError):
                storage.rm(key, recursive=True)

    def orphans(self, instant: datetime, is_kept: Callable[[str], bool]) -> Iterator[str]:
        """Yield runs that nobody keeps, of which no file was written since an instant.

        A run stays where the store does not say when its files were written. BackendUnavailable.
        """
        with reaching(self.root):
            storage, key = open_storage(self.root)
            try:
                listed = storage.ls(key, detail=False)
            except FileNotFoundError:  # nothing was written yet
                return
        for name in (str(one).rstrip("/").rpartition("/")[2] for one in listed):
            if is_run_id(name) and not is_kept(name):
                with reaching(self.root):
                    files = files_below(storage, f"{key}/{name}")
                    is_old = all(_written(about) < instant for about in files)
                if is_old:
                    yield name

    def require(self) -> None:
        """Make sure that the packages are installed that know the store; reaches nothing.

        Raises ConfigError.
        """
        try:
            require_kind(self.root)
        except ConfigError as error:
            raise unusable(str(error)) from error

    def probe(self) -> str:
        """Return what there is to tell of the store, after asking it; nothing is written.

        Raises ConfigError if it refuses, BackendUnavailable if it does not answer.
        """
        self.require()
        try:
            with reaching(self.root):
                storage, key = open_storage(self.root)
                storage.ls(key, detail=False)
        except ProcessingError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise unusable(str(error)) from error
        return redact_url(self.root)

    def close(self) -> None:
        """Remove what this process keeps on this machine."""
        self._scratch.close()


def _written(about: Mapping[str, Any]) -> datetime:
    """Return when a file was written, by what a storage tells of it; in far future if it does not."""
    for value in (about.get(name) for name in _WRITTEN):
        match value:
            case datetime():
                return value if value.tzinfo else value.replace(tzinfo=UTC)
            case int() | float():
                return datetime.fromtimestamp(value, UTC)
            case str():
                return datetime.fromisoformat(value)
    return datetime.max.replace(tzinfo=UTC)
