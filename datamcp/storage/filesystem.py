"""What is behind a URL, opened by fsspec: errors translated, and files that are whole or not there.

fsspec is an extra, and so is its package for each kind of storage; both are imported when a file
there is first touched. Credentials are the business of that package, which finds them where its
documentation says; no URL holds any.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from datamcp.config.redaction import redact_url
from datamcp.config.url import scheme_of
from datamcp.errors import BackendUnavailable, ConfigError, DatamcpError, ProcessingError
from datamcp.types import new_token

EXTRA = "pip install 'datamcp[remote]'"

OBJECT_STORES = frozenset(
    {"abfs", "abfss", "adl", "az", "cos", "gcs", "gs", "obs", "oci", "oss", "r2", "s3", "s3a"}
)
"""Kinds of storage where a file that is put is seen when all of it is there, and not before."""

_INTERRUPTIONS = frozenset({"billiard", "celery", "gevent"})  # what ends an attempt from outside


def open_storage(url: str) -> tuple[Any, str]:
    """Return the storage that a URL means, and the name of the file in it.

    ConfigError if nothing is installed that knows this kind.
    """
    kind = scheme_of(url)
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise _no_fsspec(kind) from error
    try:
        storage, key = url_to_fs(url, skip_instance_cache=True)
    except ImportError as error:
        raise ConfigError(f"{kind}:// needs fsspec's package for it, too: {error}") from error
    except ValueError as error:
        raise ConfigError(f"{kind}:// is nothing that fsspec knows: {error}") from error
    return storage, str(key)


def require_kind(url: str) -> None:
    """Make sure that the packages are there that know a URL's kind; loads none of them but fsspec.

    Raises ConfigError.
    """
    kind = scheme_of(url)
    try:
        from fsspec.registry import known_implementations, registry
    except ImportError as error:
        raise _no_fsspec(kind) from error
    if kind in registry:
        return
    if kind not in known_implementations:
        raise ConfigError(f"{kind}:// is nothing that fsspec knows: is its package installed?")
    about = known_implementations[kind]
    package = about["class"].partition(":")[0].partition(".")[0]
    if find_spec(package) is None:
        told = about.get("err") or f"install {package}"
        raise ConfigError(f"{kind}:// needs fsspec's package for it, too: {told}")


def put_whole(storage: Any, place: Path, key: str) -> None:
    """Copy a file of this machine to a storage, in the place of one that is there.

    Object stores show a file once it was put whole. Elsewhere it goes to a temporary name and is
    moved: what breaks off leaves at most a file `.<name>.<token>.part`, which no pattern finds.
    """
    if OBJECT_STORES.intersection(_kinds(storage)):
        storage.put_file(str(place), key)
        return
    folder, _, name = key.rpartition("/")
    part = f"{folder}/.{name}.{new_token()}.part"
    try:
        storage.makedirs(folder, exist_ok=True)
    except OSError:  # some refuse what another step has made in this moment
        if not storage.isdir(folder):
            raise
    try:
        storage.put_file(str(place), part)
        storage.mv(part, key)
    except BaseException:
        with suppress(OSError):
            storage.rm_file(part)
        raise


def files_below(storage: Any, key: str) -> Iterator[Mapping[str, Any]]:
    """Yield what a storage tells of each file below a folder: its `name`, its `size` and more.

    (`find`, `exists` and `isfile` take a storage that does not answer for an empty one.)
    """
    for about in storage.ls(key, detail=True):
        name = str(about["name"]).rstrip("/")
        if about["type"] != "directory":
            yield about
        elif len(name) > len(key.rstrip("/")):  # some list the folder itself, too
            yield from files_below(storage, name)


@contextmanager
def reaching(url: str) -> Iterator[None]:
    """Translate what goes wrong on the way to a URL.

    ProcessingError if there is no such file, or the storage refuses; BackendUnavailable for all
    else, which may go well later.
    """
    shown = redact_url(url)
    try:
        yield
    except DatamcpError:
        raise
    except FileNotFoundError as error:
        raise ProcessingError(f"no file {shown!r}") from error
    except (PermissionError, IsADirectoryError, NotADirectoryError) as error:
        raise ProcessingError(f"cannot use {shown!r}: {error.strerror or error}") from error
    except OSError as error:
        raise BackendUnavailable(f"storage of {shown!r}", _line(error.strerror or error)) from error
    except Exception as error:
        # Each package has errors of its own, which belong to no common class.
        kind = type(error)
        if kind.__module__.partition(".")[0] in _INTERRUPTIONS:
            raise
        told = f"{kind.__name__}: {_line(error)}"
        if "Credential" in kind.__name__ or "Auth" in kind.__name__:
            raise ProcessingError(f"cannot use {shown!r}: {told}") from error
        raise BackendUnavailable(f"storage of {shown!r}", told) from error


def _no_fsspec(kind: str) -> ConfigError:
    return ConfigError(f"{kind}:// needs fsspec: {EXTRA}")


def _kinds(storage: Any) -> tuple[str, ...]:
    protocol = storage.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


def _line(told: object) -> str:
    return str(told).partition("\n")[0]
