"""Settings that follow from others. Pure.

Paths become absolute. A backend that nobody named is what the scheme of its URL says. Without a
database URL, `primary_backend: sqlite` means a file in the state folder.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from datamcp.config.directory import absolute
from datamcp.config.layer import (
    Entry,
    Layer,
    Origin,
    OriginKind,
    Rank,
    SettingPath,
    dotted,
    strongest,
)
from datamcp.config.system import Environment, SystemConfig
from datamcp.config.url import CACHE_BACKENDS, PRIMARY_BACKENDS, scheme_of

STATE_DIR = ("system", "state_dir")
DATABASE_URL = ("storage", "database_url")
PRIMARY_BACKEND = ("storage", "primary_backend")

_PATHS = frozenset({STATE_DIR, ("security", "key_file")})
_PATH_LISTS = frozenset({("storage", "allowed_roots")})
_ARTIFACTS = ("storage", "artifacts_url")
_SQLITE = "sqlite:///"
_SHIPPED = frozenset({Rank.BASE_FILE, Rank.ENVIRONMENT_FILE})


@dataclass(frozen=True, slots=True)
class Pair:
    """A URL, the setting that names its backend, and the backend of each scheme."""

    url: SettingPath
    backend: SettingPath
    schemes: Mapping[str, str]


PAIRS = (
    Pair(DATABASE_URL, PRIMARY_BACKEND, PRIMARY_BACKENDS),
    Pair(DATABASE_URL, ("pipelines", "storage_backend"), PRIMARY_BACKENDS),
    Pair(("storage", "cache_url"), ("storage", "cache_backend"), CACHE_BACKENDS),
)


def anchor(layers: Iterable[Layer], cwd: Path) -> list[Layer]:
    """Return the layers with every path made absolute from the current folder."""
    return [layer.mapped(lambda entry: _anchored(entry, cwd)) for layer in layers]


def state_dir(layers: Sequence[Layer], cwd: Path) -> Path:
    """Return the state folder that these layers name, or the default one."""
    found = strongest(layers, STATE_DIR)
    if found and isinstance(found[1].value, str):
        return Path(found[1].value)
    return absolute(SystemConfig().state_dir, cwd)


def derive(layers: Sequence[Layer], environment: Environment, state: Path) -> list[Layer]:
    """Return the layers with one more below them: what follows from the rest.

    In development and testing, a backend that only a base or environment file names gives way to
    a URL of another scheme. Of a running stack nothing is taken that contradicts a named backend.
    Contradictions that remain are errors, which `rules` finds.
    """
    settled = list(layers)
    for pair in PAIRS:
        settled = _settle(settled, pair, environment)
    paths = (
        Entry(STATE_DIR, str(state), Origin(OriginKind.DEFAULT)),
        Entry(_ARTIFACTS, str(state / "artifacts"), _from(STATE_DIR)),
        *_default_database(settled, state),
    )
    known = [Layer(Rank.DERIVED, paths), *settled]
    backends = (entry for pair in PAIRS for entry in _backends(known, pair))
    return [Layer(Rank.DERIVED, (*paths, *backends, *_persistence(known))), *settled]


def _settle(layers: list[Layer], pair: Pair, environment: Environment) -> list[Layer]:
    url, backend = strongest(layers, pair.url), strongest(layers, pair.backend)
    if url is None or backend is None or _backend_of(url[1].value, pair) is None:
        return layers
    if backend[1].value == _backend_of(url[1].value, pair):
        return layers
    if backend[0] in _SHIPPED and not environment.is_guarded:
        return _without(layers, pair.backend, _SHIPPED)
    if url[0] is Rank.RUNNING_STACK:
        return _without(layers, pair.url, frozenset({Rank.RUNNING_STACK}))
    return layers


def _default_database(layers: Sequence[Layer], state: Path) -> Iterable[Entry]:
    backend = strongest(layers, PRIMARY_BACKEND)
    if backend and backend[1].value == "sqlite" and not strongest(layers, DATABASE_URL):
        yield Entry(DATABASE_URL, f"{_SQLITE}{state / 'ledger.db'}", _from(PRIMARY_BACKEND))


def _backends(layers: Sequence[Layer], pair: Pair) -> Iterable[Entry]:
    url = strongest(layers, pair.url)
    backend = _backend_of(url[1].value, pair) if url else None
    if backend is not None and strongest(layers, pair.backend) is None:
        yield Entry(pair.backend, backend, _from(pair.url))


def _persistence(layers: Sequence[Layer]) -> Iterable[Entry]:
    url = strongest(layers, DATABASE_URL)
    if url and _backend_of(url[1].value, PAIRS[0]) in {"postgresql", "sqlite"}:
        yield Entry(("scheduler", "persistence_backend"), "database", _from(DATABASE_URL))


def _backend_of(url: Any, pair: Pair) -> str | None:
    return pair.schemes.get(scheme_of(url)) if isinstance(url, str) else None


def _without(layers: list[Layer], path: SettingPath, ranks: frozenset[Rank]) -> list[Layer]:
    return [layer.without(path) if layer.rank in ranks else layer for layer in layers]


def _from(path: SettingPath) -> Origin:
    return Origin(OriginKind.DERIVED, dotted(path))


def _anchored(entry: Entry, cwd: Path) -> Entry:
    value = entry.value
    if entry.path in _PATHS and isinstance(value, str):
        return replace(entry, value=str(absolute(value, cwd)))
    if entry.path == _ARTIFACTS and isinstance(value, str) and not scheme_of(value):
        return replace(entry, value=str(absolute(value, cwd)))
    if entry.path == DATABASE_URL and isinstance(value, str):
        return replace(entry, value=_anchored_sqlite(value, cwd))
    if entry.path in _PATH_LISTS and isinstance(value, list):
        roots = [_anchored_root(one, cwd) for one in value]
        return replace(entry, value=roots)
    return entry


def _anchored_root(root: Any, cwd: Path) -> Any:
    is_path = isinstance(root, str) and not scheme_of(root)
    return str(absolute(root, cwd)) if is_path else root


def _anchored_sqlite(url: str, cwd: Path) -> str:
    file = url.removeprefix(_SQLITE)
    is_file = url.startswith(_SQLITE) and file and not file.startswith((":memory:", "file:"))
    return f"{_SQLITE}{absolute(file, cwd)}" if is_file else url
