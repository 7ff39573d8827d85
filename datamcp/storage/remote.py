"""Files behind URLs: object stores and whatever else fsspec knows, below the allowed prefixes.

fsspec is an extra, and so is its package for each kind of storage; both are imported when a step
first touches such a file. Credentials are the business of that package, which finds them where its
documentation says; no URL holds any.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from datamcp.config.redaction import redact_url
from datamcp.config.root import fault_of_remote
from datamcp.config.url import scheme_of
from datamcp.errors import BackendUnavailable, ConfigError, ProcessingError
from datamcp.storage.wildcards import is_pattern, limited, shown, split_pattern
from datamcp.types import new_token

EXTRA = "pip install 'datamcp[remote]'"


def is_remote(location: str) -> bool:
    """Tell whether a location is a URL of something that is no file of this machine."""
    return scheme_of(location) not in {"", "file"}


class RemoteFiles:
    """Reads and writes files whose URL begins with an entry of `storage.allowed_roots`."""

    def __init__(self, roots: Iterable[str]) -> None:
        """Take the prefixes; nothing is imported."""
        self._roots = tuple(_plain(root) for root in roots)

    def allowed(self, url: str) -> str:
        """Return the URL as it is used; ProcessingError if it is no place below the prefixes."""
        if fault := fault_of_remote(url):
            raise ProcessingError(f"cannot use {redact_url(url)!r}: it {fault}")
        plain = _plain(url)
        if not any(plain.startswith(f"{root}/") for root in self._roots):
            listed = ", ".join(map(redact_url, self._roots)) or "no URL is there"
            raise ProcessingError(
                f"{redact_url(url)!r} is outside of storage.allowed_roots ({listed}); add its "
                "beginning there"
            )
        return plain

    def matching(self, pattern: str) -> tuple[str, list[str]]:
        """Return where a pattern begins, and the files that it finds, relative to that; sorted.

        ProcessingError if there are none, or too many.
        """
        base, rest = split_pattern(self.allowed(pattern))
        with _reaching(base):
            storage, key = _opened(base)
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
        plain = self.allowed(url)
        place.parent.mkdir(parents=True, exist_ok=True)
        with _reaching(plain):
            storage, key = _opened(plain)
            storage.get_file(key, str(place))

    def send(self, place: Path, url: str) -> None:
        """Copy a file of this machine to where `url` says, in the place of one that is there.

        It goes to a temporary name first: what breaks off leaves at most a file
        `.<name>.<token>.part`, which no pattern finds.
        """
        plain = self.destination(url)
        folder, _, name = plain.rpartition("/")
        with _reaching(plain):
            storage, key = _opened(plain)
            _, part = _opened(f"{folder}/.{name}.{new_token()}.part")
            try:
                storage.put_file(str(place), part)
                storage.mv(part, key)
            except BaseException:
                with suppress(OSError):
                    storage.rm_file(part)
                raise

    def destination(self, url: str) -> str:
        """Return the URL of a file that is to be written; ProcessingError if it names no one."""
        if is_pattern(url) or url.endswith("/"):
            raise ProcessingError(f"cannot write {redact_url(url)!r}: it is not the name of a file")
        return self.allowed(url)


def _plain(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme.lower()}://{rest.removesuffix('/')}"


def _opened(url: str) -> tuple[Any, str]:
    """Return the storage that a URL means, and the name of the file in it."""
    kind = scheme_of(url)
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise ConfigError(f"{kind}:// needs fsspec: {EXTRA}") from error
    try:
        storage, key = url_to_fs(url, skip_instance_cache=True)
    except ImportError as error:
        raise ConfigError(f"{kind}:// needs fsspec's package for it, too: {error}") from error
    except ValueError as error:
        raise ConfigError(f"{kind}:// is nothing that fsspec knows: {error}") from error
    return storage, str(key)


@contextmanager
def _reaching(url: str) -> Iterator[None]:
    """Translate errors of the system; what a kind of storage raises besides goes on as it is."""
    shown_url = redact_url(url)
    try:
        yield
    except FileNotFoundError as error:
        raise ProcessingError(f"no file {shown_url!r}") from error
    except (PermissionError, IsADirectoryError, NotADirectoryError) as error:
        raise ProcessingError(f"cannot use {shown_url!r}: {error.strerror or error}") from error
    except OSError as error:
        reason = str(error.strerror or error).partition("\n")[0]
        raise BackendUnavailable(f"storage of {shown_url!r}", reason) from error
