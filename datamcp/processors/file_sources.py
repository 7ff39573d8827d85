"""The files that a path means: one, or all that a pattern finds, here or behind a URL."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from datamcp.errors import ProcessingError
from datamcp.processors.engine import refuse_wildcards
from datamcp.storage.remote import RemoteFiles, is_remote
from datamcp.storage.roots import AllowedRoots
from datamcp.storage.wildcards import is_pattern


@dataclass(frozen=True, slots=True)
class Source:
    """A file to read: `name` as it is told, and where it is, or will be once it was fetched."""

    name: str
    place: Path
    url: str | None = None
    remote: RemoteFiles | None = None

    @contextmanager
    def at_hand(self) -> Iterator[Path]:
        """Give the file on this machine; a copy is gone after the block.

        An error that tells the file by its last name tells all of its name.
        """
        if self.remote is not None and self.url is not None:
            self.remote.fetch(self.url, self.place)
        try:
            yield self.place
        except ProcessingError as error:
            told = str(error)
            if not told.startswith(f"{self.place.name}: "):
                raise
            raise ProcessingError(self.name + told.removeprefix(self.place.name)) from error
        finally:
            if self.remote is not None:
                self.place.unlink(missing_ok=True)


def find_sources(path: str, roots: AllowedRoots, scratch: Path) -> Sequence[Source]:
    """Return the files that `path` means, at least one, in the order of their names.

    ProcessingError if there is none, or if one may not be read. Copies will be in `scratch`.
    """
    sources = _remote(path, roots.remote, scratch) if is_remote(path) else _local(path, roots)
    for source in sources:
        refuse_wildcards(source.place)
    return sources


def _local(path: str, roots: AllowedRoots) -> list[Source]:
    if is_pattern(path):
        return [Source(name, place) for name, place in roots.matching(path)]
    place = roots.resolve(path)
    return [Source(place.name, place)]


def _remote(path: str, remote: RemoteFiles, scratch: Path) -> list[Source]:
    if is_pattern(path):
        base, names = remote.matching(path)
    else:
        base, _, name = remote.allowed(path).rpartition("/")
        names = [name]
    return [
        Source(name, scratch / f"fetched-{n}" / PurePosixPath(name).name, f"{base}/{name}", remote)
        for n, name in enumerate(names)
    ]
