"""Files behind URLs: object stores and whatever else fsspec knows, below the allowed prefixes."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path, PurePosixPath

from datamcp.config.redaction import redact_url
from datamcp.config.root import fault_of_remote
from datamcp.config.url import scheme_of
from datamcp.errors import ProcessingError
from datamcp.storage.filesystem import files_below, open_storage, put_whole, reaching
from datamcp.storage.wildcards import MOST_FILES, is_pattern, limited, shown, split_pattern


def is_remote(location: str) -> bool:
    """Tell whether a location is a URL of something that is no file of this machine."""
    return scheme_of(location) not in {"", "file"}


def plain(url: str) -> str:
    """Return a URL with its scheme in lower case, and without a slash at its end."""
    scheme, _, rest = url.partition("://")
    return f"{scheme.lower()}://{rest.removesuffix('/')}"


def is_below(url: str, root: str) -> bool:
    """Tell whether a URL names a place below another one, in whatever spelling."""
    return not fault_of_remote(url) and plain(url).startswith(f"{plain(root)}/")


class RemoteFiles:
    """Reads and writes files whose URL begins with an entry of `storage.allowed_roots`."""

    def __init__(self, roots: Iterable[str], *, readable: Iterable[str] = ()) -> None:
        """Take the prefixes, and those below which may be read only; nothing is imported."""
        self._roots = tuple(map(plain, roots))
        self._readable = (*self._roots, *map(plain, readable))

    def allowed(self, url: str) -> str:
        """Return the URL as it is used; ProcessingError if it is no place that may be read."""
        return self._within(url, self._readable)

    def _within(self, url: str, roots: tuple[str, ...]) -> str:
        if fault := fault_of_remote(url):
            raise ProcessingError(f"cannot use {redact_url(url)!r}: it {fault}")
        if not any(is_below(url, root) for root in roots):
            listed = ", ".join(map(redact_url, self._roots)) or "no URL is there"
            raise ProcessingError(
                f"{redact_url(url)!r} is outside of storage.allowed_roots ({listed}); add its "
                "beginning there"
            )
        return plain(url)

    def matching(self, pattern: str) -> tuple[str, list[str]]:
        """Return where a pattern begins, and the files that it finds, relative to that; sorted.

        ProcessingError if there are none, or too many.
        """
        base, rest = split_pattern(self.allowed(pattern))
        with reaching(base):
            storage, key = open_storage(base)
            found = storage.glob(f"{key}/{rest}", detail=True)
        names = (
            str(name)[len(key) + 1 :]
            for name, about in found.items()
            if about.get("type") == "file" and str(name).startswith(f"{key}/")
        )
        files = limited(shown(names, rest), rest)
        if not files:
            raise ProcessingError(f"no file matches {pattern!r}")
        return base, files

    def fetch(self, url: str, place: Path) -> None:
        """Copy a file to a place on this machine, whose folder is made."""
        self._fetch(self.allowed(url), place)

    def fetch_all(self, url: str, place: Path) -> Path:
        """Copy a file, or all files below a folder, into a folder of this machine.

        Returns where the file or the folder of that name is now. ProcessingError if there is none.
        """
        source = self.allowed(url)
        copy = place / PurePosixPath(source).name
        with reaching(source):
            storage, key = open_storage(source)
            is_file = storage.info(key)["type"] == "file"
            below = islice(() if is_file else files_below(storage, key), MOST_FILES + 1)
            names = [""] if is_file else [str(about["name"])[len(key) :] for about in below]
        if len(names) > MOST_FILES:
            raise ProcessingError(f"{redact_url(url)!r} has more than {MOST_FILES:,} files")
        (copy.parent if is_file else copy).mkdir(parents=True, exist_ok=True)
        for name in names:
            if fault := fault_of_remote(f"{source}{name}"):  # it would lead out of the copy, too
                raise ProcessingError(f"cannot use {source + name!r}: it {fault}")
            self._fetch(f"{source}{name}", Path(f"{copy}{name}"))
        return copy

    def _fetch(self, url: str, place: Path) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        with reaching(url):
            storage, key = open_storage(url)
            storage.get_file(key, str(place))

    def send(self, place: Path, url: str) -> None:
        """Copy a file of this machine to where `url` says, in the place of one that is there.

        It is whole there or, if that breaks off, what it was.
        """
        target = self.destination(url)
        with reaching(target):
            storage, key = open_storage(target)
            put_whole(storage, place, key)

    def destination(self, url: str) -> str:
        """Return the URL of a file that is to be written; ProcessingError if it names no one."""
        if is_pattern(url) or url.endswith("/"):
            raise ProcessingError(f"cannot write {redact_url(url)!r}: it is not the name of a file")
        return self._within(url, self._roots)
