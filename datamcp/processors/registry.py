"""The processors by name: the allow-list of what a pipeline may run here.

Importing this imports no engine; a processor loads its own when it runs.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from datamcp.clock import Clock, SystemClock
from datamcp.errors import UnknownTaskTypeError
from datamcp.naming import did_you_mean
from datamcp.processors.data_validate import DataValidate
from datamcp.processors.engine import EngineLimits
from datamcp.processors.file_read import FileRead
from datamcp.processors.file_write import FileWrite
from datamcp.processors.processor import DataProcessor, ProcessingConfig
from datamcp.processors.sql_transform import SqlTransform
from datamcp.processors.table_processor import TableProcessor
from datamcp.storage.roots import AllowedRoots

_PROCESSORS: Mapping[str, type[TableProcessor[Any]]] = MappingProxyType(
    {
        "data.validate": DataValidate,
        "file.read": FileRead,
        "file.write": FileWrite,
        "sql.transform": SqlTransform,
    }
)


class ProcessorRegistry:
    """Makes processors and tells what their configuration looks like."""

    def __init__(
        self, *, roots: AllowedRoots, threads: int, memory_limit: str, clock: Clock | None = None
    ) -> None:
        """Take where files may be and what the engine of one process may use.

        `memory_limit` is written as DuckDB writes sizes: `"512MB"`, `"1GiB"`.
        """
        self._roots = roots
        self._limits = EngineLimits(threads=threads, memory_limit=memory_limit)
        self._clock = clock or SystemClock()

    def names(self) -> list[str]:
        """Return the names of all processors, sorted."""
        return sorted(_PROCESSORS)

    def create(self, name: str) -> DataProcessor:
        """Return a new processor; UnknownTaskTypeError if there is none of this name."""
        return _known(name)(roots=self._roots, limits=self._limits, clock=self._clock)

    def config_model(self, name: str) -> type[ProcessingConfig]:
        """Return the model of a processor's configuration; UnknownTaskTypeError as above."""
        return _known(name).config_model


def _known(name: str) -> type[TableProcessor[Any]]:
    if name not in _PROCESSORS:
        listed = ", ".join(sorted(_PROCESSORS))
        raise UnknownTaskTypeError(
            name, f"processors are {listed}{did_you_mean(name, _PROCESSORS)}"
        )
    return _PROCESSORS[name]
