"""Processors of installed packages, by the entry point group `datamcp.processors`.

A package names them in its `pyproject.toml`:

    [project.entry-points."datamcp.processors"]
    "acme.thing" = "acme.processors:Thing"

The class is a DataProcessor. Its `config_model`, a ProcessingConfig, tells what its configuration
is; without one it takes any keys. To list names imports nothing, so that whatever a package loads
is loaded after a worker has forked; a class is imported when its name is used.
"""

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from pydantic import ConfigDict

from datamcp.errors import ProcessingError
from datamcp.processors.processor import DataProcessor, ProcessingConfig

GROUP = "datamcp.processors"

_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")


class OpenConfig(ProcessingConfig):
    """A configuration with any keys."""

    model_config = ConfigDict(extra="allow")


@dataclass(frozen=True, slots=True)
class Plugin:
    """What packages have under one name; more than one of them is a fault."""

    name: str
    entries: tuple[EntryPoint, ...]

    def load(self) -> type[DataProcessor]:
        """Import the class; ProcessingError if it can't be used."""
        if len(self.entries) > 1:
            raise self.fault("more than one package has a processor of this name")
        try:
            found = self.entries[0].load()
        except Exception as error:  # whatever a stranger's module raises
            raise self.fault(f"it cannot be imported: {_told(error)}") from error
        if not (isinstance(found, type) and issubclass(found, DataProcessor)):
            raise self.fault(f"{self.entries[0].value} is no DataProcessor")
        if inspect.isabstract(found):
            missing = ", ".join(sorted(found.__abstractmethods__))
            raise self.fault(f"{self.entries[0].value} lacks {missing}")
        model = getattr(found, "config_model", OpenConfig)
        if not (isinstance(model, type) and issubclass(model, ProcessingConfig)):
            raise self.fault("its config_model is no ProcessingConfig")
        return found

    def fault(self, reason: str) -> ProcessingError:
        """Return the error that says why this processor can't be used."""
        return ProcessingError(f"processor {self.name!r} of {self.origin} cannot be used: {reason}")

    @property
    def has_usable_name(self) -> bool:
        """Tell whether it is named as a task type: a group and a name."""
        return _NAME.fullmatch(self.name) is not None

    @property
    def origin(self) -> str:
        """Return which packages it is from."""
        return ", ".join(sorted({_package(entry) for entry in self.entries}))


def installed() -> Mapping[str, Plugin]:
    """Return the processors of all installed packages by name; imports none of them."""
    found: dict[str, dict[str, EntryPoint]] = {}
    for entry in entry_points(group=GROUP):
        # A package that is found twice, as in a checkout that is also installed, is one.
        found.setdefault(entry.name, {})[f"{_package(entry)}: {entry.value}"] = entry
    return {name: Plugin(name, tuple(entries.values())) for name, entries in sorted(found.items())}


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else entry.value


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
