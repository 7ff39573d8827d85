"""The processors by name: the allow-list of what a pipeline may run here.

Importing this imports no engine; a processor loads its own when it runs. Besides the product's
there are those of installed packages, which `plugins` finds: their names are known at once, their
classes are imported when one is needed.
"""

import inspect
from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, cast

from datamcp.clock import Clock, SystemClock
from datamcp.config.integrations import IntegrationConfig
from datamcp.errors import Problem, ProcessingError, UnknownTaskTypeError
from datamcp.naming import did_you_mean
from datamcp.processors.connections import Connections
from datamcp.processors.data_validate import DataValidate
from datamcp.processors.document_extract import DocumentExtract
from datamcp.processors.engine import EngineLimits
from datamcp.processors.file_deliver import FileDeliver
from datamcp.processors.file_read import FileRead
from datamcp.processors.file_write import FileWrite
from datamcp.processors.http_get import HttpGet
from datamcp.processors.http_post import HttpPost
from datamcp.processors.plugins import OpenConfig, Plugin, installed
from datamcp.processors.processor import DataProcessor, ProcessingConfig
from datamcp.processors.sql_read import SqlRead
from datamcp.processors.sql_transform import SqlTransform
from datamcp.processors.sql_write import SqlWrite
from datamcp.processors.table_processor import TableProcessor
from datamcp.storage.roots import AllowedRoots

_PROCESSORS: Mapping[str, type[TableProcessor[Any]]] = MappingProxyType(
    {
        "data.validate": DataValidate,
        "document.extract": DocumentExtract,
        "file.deliver": FileDeliver,
        "file.read": FileRead,
        "file.write": FileWrite,
        "http.get": HttpGet,
        "http.post": HttpPost,
        "sql.read": SqlRead,
        "sql.transform": SqlTransform,
        "sql.write": SqlWrite,
    }
)


class ProcessorRegistry:
    """Makes processors and tells what their configuration looks like.

    A processor is made with those of `roots`, `limits`, `clock` and `integrations` that its
    constructor names as keyword arguments, so a class of others may also take none.
    """

    def __init__(
        self,
        *,
        roots: AllowedRoots,
        threads: int,
        memory_limit: str,
        clock: Clock | None = None,
        integrations: Mapping[str, IntegrationConfig] = MappingProxyType({}),
    ) -> None:
        """Take where files may be, what the engine of one process may use, and connections by name.

        `memory_limit` is written as DuckDB writes sizes: `"512MB"`, `"1GiB"`.
        """
        self._offered = {
            "roots": roots,
            "limits": EngineLimits(threads=threads, memory_limit=memory_limit),
            "clock": clock or SystemClock(),
            "integrations": integrations,
            "connections": Connections(integrations, roots),
        }

    def names(self) -> list[str]:
        """Return the names of all processors, sorted; imports none of those of others."""
        return sorted({*_PROCESSORS, *self._plugins})

    def create(self, name: str) -> DataProcessor:
        """Return a new processor.

        UnknownTaskTypeError if there is none of this name, ProcessingError if it is of a package
        and cannot be used.
        """
        processor = self._class_of(name)
        try:
            return processor(**self._arguments(processor))
        except (TypeError, ValueError) as error:
            if name in _PROCESSORS:
                raise
            raise self._plugins[name].fault(f"it cannot be made: {error}") from error

    def config_model(self, name: str) -> type[ProcessingConfig]:
        """Return the model of a processor's configuration; errors as above.

        A class without one takes any keys.
        """
        return cast(
            type[ProcessingConfig], getattr(self._class_of(name), "config_model", OpenConfig)
        )

    def description(self, name: str) -> str:
        """Return what a processor is configured for; of one of others, only where it is from."""
        if name in self._plugins:
            return f"A processor of {self._plugins[name].origin}."
        return (self.config_model(name).__doc__ or "").strip()

    def problems(self) -> list[Problem]:
        """Return what is wrong with installed processors of others; imports all of them."""
        found = [
            Problem(name, f"is not used: {reason}")
            for name, plugin in self._found.items()
            if (reason := _left_out(name, plugin))
        ]
        for name in self._plugins:
            try:
                self.create(name)
            except ProcessingError as error:
                found.append(Problem(name, str(error)))
        return found

    @cached_property
    def _found(self) -> Mapping[str, Plugin]:
        return installed()

    @cached_property
    def _plugins(self) -> Mapping[str, Plugin]:
        return {name: one for name, one in self._found.items() if not _left_out(name, one)}

    def _class_of(self, name: str) -> type[DataProcessor]:
        if name in _PROCESSORS:
            return _PROCESSORS[name]
        if name in self._plugins:
            return self._plugins[name].load()
        known = self.names()
        raise UnknownTaskTypeError(
            name, f"processors are {', '.join(known)}{did_you_mean(name, known)}"
        )

    def _arguments(self, processor: type[DataProcessor]) -> dict[str, Any]:
        wanted = inspect.signature(processor).parameters
        return {name: value for name, value in self._offered.items() if name in wanted}


def _left_out(name: str, plugin: Plugin) -> str:
    """Return why a processor of others is not among ours; '' if it is."""
    if name in _PROCESSORS:
        return f"{plugin.origin} gives it the name of one of the product"
    if not plugin.has_usable_name:
        return f"{plugin.origin} must name it as a group and a name, such as 'acme.thing'"
    return ""
