"""The folders that pipelines may read and write outside of the artifact store."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from datamcp.errors import ProcessingError
from datamcp.storage.location import local_path
from datamcp.storage.remote import RemoteFiles, is_remote
from datamcp.storage.wildcards import files_below, split_pattern

PACKAGE_ROOT = Path(__file__).resolve().parents[1]
"""Holds the shipped input under `data/`; the last root for reading, never one for writing."""


class AllowedRoots:
    """Finds files inside `storage.allowed_roots` and refuses every other place.

    A path is judged by where it leads after following symbolic links.
    """

    def __init__(self, roots: Iterable[str | Path], *, artifacts: Path | str | None = None) -> None:
        """Take the folders and URLs, and the root of the artifact store where that may be read, too.

        A relative folder is relative to the current folder, now.
        """
        given = list(roots)
        self.remote = RemoteFiles(
            (str(root) for root in given if is_remote(str(root))),
            readable=[artifacts] if isinstance(artifacts, str) else [],
        )
        local = (root for root in given if not is_remote(str(root)))
        self._writable = tuple(Path(root).resolve() for root in local)
        kept = (artifacts,) if isinstance(artifacts, Path) else ()
        self._readable = (*self._writable, PACKAGE_ROOT, *kept)

    def resolve(self, path: str) -> Path:
        """Return the existing file that `path` means; artifacts of runs count, too.

        A relative path is looked for in each root in order. ProcessingError if there is no such
        file, or if it lies outside of the roots.
        """
        return self._find(path, self._readable, Path.is_file, "file")

    def matching(self, pattern: str) -> list[tuple[str, Path]]:
        """Return the files that a pattern finds, sorted by name: names, and where they lead.

        A name is relative to the folder before the first wildcard. A relative pattern is looked for
        in each root in order. ProcessingError if there is none, if there are too many, or if one
        leads out of the roots by a link.
        """
        is_url = "://" in pattern
        written = str(
            _local(pattern.replace("?", "%3F").replace("#", "%23") if is_url else pattern)
        )
        base, rest = split_pattern(written)
        wanted = Path("/" if written.startswith("/") else "", base)
        candidates = [wanted] if wanted.is_absolute() else [r / wanted for r in self._readable]
        places = [_followed(candidate) for candidate in candidates]
        inside = [place for place in places if _is_inside(place, self._readable)]
        if not inside or ".." in Path(rest).parts:
            raise self._outside(pattern)
        for place in inside:
            if names := files_below(place, rest):
                return [(name, self._inside(place / name)) for name in names]
        if any(_holds(Path.is_dir, place) for place in places if place not in inside):
            raise self._outside(pattern)
        raise ProcessingError(f"no file matches {pattern!r}{self._searched(wanted)}")

    def _inside(self, path: Path) -> Path:
        place = _followed(path)
        if not _is_inside(place, self._readable):
            raise self._outside(str(path))
        return place

    def find(self, path: str) -> Path:
        """Return the existing file or folder that `path` means; ProcessingError as `resolve`."""
        return self._find(path, self._readable, Path.exists, "file or folder")

    def at_hand(self, path: str, folder: Path) -> Path:
        """Return the file or folder that `path` means, or what a URL means, copied to `folder`.

        ProcessingError as `resolve`, BackendUnavailable if its storage does not answer.
        """
        return self.remote.fetch_all(path, folder) if is_remote(path) else self.find(path)

    def _find(
        self, path: str, roots: Sequence[Path], is_wanted: Callable[[Path], bool], kind: str
    ) -> Path:
        wanted = _local(path)
        candidates = [wanted] if wanted.is_absolute() else [root / wanted for root in roots]
        places = [_followed(candidate) for candidate in candidates]
        inside = [place for place in places if _is_inside(place, roots)]
        found = [place for place in inside if _holds(is_wanted, place)]
        if found:
            return found[0]
        if not inside or any(_holds(is_wanted, place) for place in places):
            raise self._outside(path)
        raise ProcessingError(f"no {kind} {path!r}{self._searched(wanted)}")

    def destination(self, path: str) -> Path:
        """Return where the absolute `path` is to be written; the file need not exist yet.

        ProcessingError if it lies outside of the roots, or is a folder.
        """
        place = _followed(_local(path))
        if not _is_inside(place, self._writable):
            raise self._outside(path)
        if place.is_dir():
            raise ProcessingError(f"cannot write {path!r}: it is a folder")
        return place

    def _searched(self, wanted: Path) -> str:
        if wanted.is_absolute():
            return ""
        return f"; looked in {_listed(self._writable)} (storage.allowed_roots) and the shipped data"

    def _outside(self, path: str) -> ProcessingError:
        return ProcessingError(
            f"{path!r} is outside of storage.allowed_roots ({_listed(self._writable)}); "
            "add its folder there"
        )


def _local(path: str) -> Path:
    try:
        return local_path(path)
    except ValueError as error:
        raise ProcessingError(f"cannot use {path!r}: {error}") from error


def _followed(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:  # a loop of links is a RuntimeError before 3.13
        raise ProcessingError(f"cannot use {str(path)!r}: {error}") from error


def _holds(condition: Callable[[Path], bool], place: Path) -> bool:
    try:
        return condition(place)
    except OSError as error:
        raise ProcessingError(f"cannot read {str(place)!r}: {error.strerror}") from error


def _is_inside(place: Path, roots: Sequence[Path]) -> bool:
    return any(place.is_relative_to(root) for root in roots)


def _listed(roots: Sequence[Path]) -> str:
    return ", ".join(str(root) for root in roots) or "none are set"
