"""Reads the configuration: every source over the last, all problems at once.

From weak to strong: what follows from other settings, a running stack, base file, environment
file, the file of `DATAMCP_CONFIG`, environment variables, command line. The models' own defaults
stand below all of them. pydantic-settings lays the layers over one another.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from datamcp.config.derive import anchor, derive, state_dir
from datamcp.config.directory import BASE, extra_file, find_directory, shown
from datamcp.config.document import read_document
from datamcp.config.fields import is_named_entry, paths_of
from datamcp.config.layer import (
    Layer,
    Origin,
    OriginKind,
    Rank,
    SettingPath,
    dotted,
    strongest,
    strongest_within,
)
from datamcp.config.names import canonical
from datamcp.config.problems import config_error, explain_errors, place_of, refused_paths
from datamcp.config.rules import broken_rules, cautions, secrets_in_files
from datamcp.config.settings import GlobalConfig
from datamcp.config.stack import STACK_FILE, read_stack
from datamcp.config.system import Environment
from datamcp.config.text import read_environment, read_overrides
from datamcp.errors import Problem

_ENVIRONMENT = ("system", "environment")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration and its history.

    `origins` tells for every setting (`storage.cache_backend`) where its value came from.
    `directory` is the folder of base and environment files, `files` are those that were read,
    weakest first; `file_names` are what to call them. `layers` hold what each source said, weakest
    first, and have not been cleared of secrets.
    """

    config: GlobalConfig
    origins: Mapping[str, Origin]
    warnings: tuple[Problem, ...]
    directory: Path
    files: tuple[Path, ...]
    file_names: tuple[str, ...]
    layers: tuple[Layer, ...] = field(repr=False)


def load(
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Loaded:
    """Read every source and return the configuration.

    `overrides` are the command line's, as `section.key` → text. The environment and the current
    folder are the process's own unless given. ConfigError lists everything that is wrong.
    """
    environ = os.environ if environ is None else environ  # noqa: TID251  the one place
    gathering = _Gathering(environ, overrides or {}, Path.cwd() if cwd is None else cwd.absolute())
    layers = gathering.gather()
    config = _validate(layers, gathering)
    if gathering.problems:
        raise config_error(gathering.problems)
    return Loaded(
        config=config,
        origins=MappingProxyType(dict(_origins(config, layers))),
        warnings=(*gathering.warnings, *cautions(config)),
        directory=gathering.directory,
        files=gathering.files,
        file_names=gathering.file_names,
        layers=tuple(layers),
    )


class _Gathering:
    """Reads the sources one after the other, and keeps what is wrong with them."""

    def __init__(self, environ: Mapping[str, str], overrides: Mapping[str, str], cwd: Path) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.directory = find_directory(environ, cwd)
        self._environ = environ
        self._overrides = overrides
        self._cwd = cwd
        self._files: dict[Rank, Path] = {}

    @property
    def files(self) -> tuple[Path, ...]:
        """Return the files that were read, weakest first."""
        return tuple(self._files[rank] for rank in sorted(self._files))

    @property
    def file_names(self) -> tuple[str, ...]:
        """Return how to call the files that were read."""
        return tuple(shown(path, self._cwd) for path in self.files)

    def gather(self) -> list[Layer]:
        """Return the layers, weakest first."""
        chosen = self._read_chosen()
        environment = _environment(chosen)
        layers = anchor(self._with_environment_file(chosen, environment), self._cwd)
        self._check_secrets(layers, environment)
        state = state_dir(layers, self._cwd)
        stack, warnings = read_stack(state, shown(state / STACK_FILE, self._cwd))
        self.warnings += warnings
        return derive([stack, *layers], environment, state)

    def _read_chosen(self) -> list[Layer]:
        """Return the layers that have a say in which environment it is."""
        layers = [self._read_file(self.directory / BASE, Rank.BASE_FILE)]
        if extra := extra_file(self._environ, self._cwd):
            layers.append(self._read_file(extra, Rank.EXTRA_FILE))
        variables, problems, ignored = read_environment(self._environ)
        self.problems += problems
        self.warnings += ignored
        overrides, problems = read_overrides(self._overrides)
        self.problems += problems
        return [*layers, self._named(variables), self._named(overrides)]

    def _with_environment_file(self, layers: list[Layer], environment: Environment) -> list[Layer]:
        path = self.directory / f"{environment}.yaml"
        if not path.exists():
            return layers
        layer = self._read_file(path, Rank.ENVIRONMENT_FILE)
        own = layer.get(_ENVIRONMENT)
        if own is not None and own.value != environment:
            message = f"must be {environment} in the file of that environment ({own.origin})"
            self.problems.append(Problem(dotted(_ENVIRONMENT), message))
            layer = layer.without(_ENVIRONMENT)
        return [layers[0], layer, *layers[1:]]

    def _read_file(self, path: Path, rank: Rank) -> Layer:
        self._files[rank] = path
        layer, problems = read_document(path, shown(path, self._cwd), rank)
        self.problems += problems
        return self._named(layer)

    def _named(self, layer: Layer) -> Layer:
        renamed, problems = canonical(layer)
        self.problems += problems
        return renamed

    def _check_secrets(self, layers: Sequence[Layer], environment: Environment) -> None:
        found = secrets_in_files(layers)
        (self.problems if environment.is_guarded else self.warnings).extend(found)


class _LayerSource(PydanticBaseSettingsSource):
    """Hands one layer to pydantic-settings."""

    def __init__(self, settings_cls: type[BaseSettings], layer: Layer) -> None:
        super().__init__(settings_cls)
        self._tree = layer.tree()

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002  the port's
        return self._tree.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return self._tree


def _environment(layers: Sequence[Layer]) -> Environment:
    """Return the environment that is chosen; the default one where the choice is not valid."""
    found = strongest(layers, _ENVIRONMENT)
    try:
        return Environment(found[1].value) if found else Environment.DEVELOPMENT
    except ValueError:
        return Environment.DEVELOPMENT


def _validate(layers: Sequence[Layer], gathering: _Gathering) -> GlobalConfig:
    """Return the configuration; where settings are refused, one without them, to check the rest."""
    refused: set[SettingPath] = set()
    try:
        config = _merge(layers)
    except ValidationError as error:
        gathering.problems += explain_errors(error, layers)
        refused = refused_paths(error)
        config = _merge_without(layers, refused)
    gathering.problems += [
        Problem(dotted(rule.path), rule.message + place_of(rule.path, layers))
        for rule in broken_rules(config)
        if not any(_covers(refused, path) for path in (rule.path, *rule.others))
    ]
    return config


def _merge(layers: Sequence[Layer]) -> GlobalConfig:
    class Settings(BaseSettings, GlobalConfig):  # type: ignore[misc]  # two types of one mapping
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,  # noqa: ARG003  the port's
            env_settings: PydanticBaseSettingsSource,  # noqa: ARG003  read by `text`, with origins
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  the port's
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  the port's
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            strong_first = sorted(layers, key=lambda one: one.rank, reverse=True)
            return tuple(_LayerSource(settings_cls, layer) for layer in strong_first)

    merged = Settings()
    parts = {name: getattr(merged, name) for name in GlobalConfig.model_fields}
    return GlobalConfig.model_construct(merged.model_fields_set, **parts)


def _merge_without(layers: Sequence[Layer], refused: set[SettingPath]) -> GlobalConfig:
    """Return what is left of the configuration; an entry without its needs is left out whole."""
    left_out = {path[:2] if is_named_entry(path[:2]) else path for path in refused}
    kept = [
        replace(layer, entries=tuple(e for e in layer.entries if not _covers(left_out, e.path)))
        for layer in layers
    ]
    try:
        return _merge(kept)
    except ValidationError:
        return GlobalConfig()


def _covers(refused: set[SettingPath], path: SettingPath) -> bool:
    return any(path[: len(one)] == one for one in refused)


def _origins(config: GlobalConfig, layers: Sequence[Layer]) -> list[tuple[str, Origin]]:
    return [
        (dotted(path), found.origin if found else Origin(OriginKind.DEFAULT))
        for path in paths_of(config)
        for found in [strongest_within(layers, path)]
    ]
