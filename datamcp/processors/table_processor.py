"""What the table processors share: limits, a locked engine, time taken, and counts."""

import resource
import sys
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from datamcp.clock import Clock
from datamcp.errors import DatamcpError, ProcessingError
from datamcp.processors.engine import EngineLimits, open_engine
from datamcp.processors.processor import (
    ConfigFault,
    DataProcessor,
    Inputs,
    Output,
    ProcessingConfig,
    ProcessingMetrics,
    ProcessingResult,
    ValidationResult,
    require_valid,
)
from datamcp.storage.artifacts import Workspace
from datamcp.storage.location import local_path
from datamcp.storage.roots import AllowedRoots

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

TABLE = "table.parquet"
"""The name of the table that a step writes to its workspace."""

ConfigT = TypeVar("ConfigT", bound=ProcessingConfig)


class TableProcessor(DataProcessor, Generic[ConfigT]):
    """A processor of tables; a subclass names its configuration's model and does the work.

    `process` holds its thread until the work is done: DuckDB is synchronous.
    """

    config_model: ClassVar[type[ProcessingConfig]]

    def __init__(self, *, roots: AllowedRoots, limits: EngineLimits, clock: Clock) -> None:
        """Take where files may be, what the engine may use, and what measures time."""
        self._roots = roots
        self._limits = limits
        self._clock = clock
        self._metrics = ProcessingMetrics()

    @abstractmethod
    def run(self, inputs: Inputs, config: ConfigT) -> ProcessingResult:
        """Do the work; the caller fills in `execution_time`."""

    def faults(self, config: ConfigT) -> Iterable[ConfigFault]:  # noqa: ARG002  for subclasses
        """Return what the model alone cannot tell is wrong with `config`."""
        return ()

    async def process(self, data: Any, config: ProcessingConfig) -> ProcessingResult:
        """Process `data`, which is `Inputs`; ProcessingError if it cannot be processed."""
        started = self._clock.monotonic()
        try:
            result = self.run(data, self._usable(config))
        except DatamcpError:
            self._count_failure(self._clock.monotonic() - started)
            raise
        taken = self._clock.monotonic() - started
        self._count_run(result, taken)
        return result.model_copy(update={"execution_time": taken})

    def validate_config(self, config: ProcessingConfig) -> ValidationResult:
        """Tell whether `config` can be used, without doing any work."""
        if not isinstance(config, self.config_model):
            wrong = f"expected {self.config_model.__name__}, got {type(config).__name__}"
            return ValidationResult(valid=False, errors=(ConfigFault(path="", message=wrong),))
        errors = tuple(self.faults(config))  # type: ignore[arg-type]  # it is checked above
        return ValidationResult(valid=not errors, errors=errors)

    async def get_metrics(self) -> ProcessingMetrics:
        """Return what this object has done so far."""
        return self._metrics

    async def cleanup(self) -> None:
        """Do nothing: engine and scratch folder end with each call of `process`."""

    @contextmanager
    def engine(self, inputs: Inputs, *, files: Sequence[Path]) -> "Iterator[DuckDBPyConnection]":
        """Give a locked engine that may touch `files`; what it spills is gone afterwards."""
        with (
            inputs.workspace.scratch() as scratch,
            open_engine(self._limits, scratch=scratch, files=files) as connection,
        ):
            yield connection

    def _usable(self, config: ProcessingConfig) -> Any:
        require_valid(self.validate_config(config))
        return config

    def _count_run(self, result: ProcessingResult, taken: float) -> None:
        before = self._metrics
        records, seconds = before.records_in + result.records_in, before.seconds + taken
        self._metrics = ProcessingMetrics(
            runs=before.runs + 1,
            failures=before.failures,
            records_in=records,
            records_out=before.records_out + result.records_out,
            bytes_in=before.bytes_in + result.bytes_in,
            bytes_out=before.bytes_out + result.bytes_out,
            seconds=seconds,
            records_per_second=records / seconds if seconds else 0.0,
            peak_memory=_peak_memory(),
        )

    def _count_failure(self, taken: float) -> None:
        before = self._metrics
        self._metrics = before.model_copy(
            update={
                "runs": before.runs + 1,
                "failures": before.failures + 1,
                "seconds": before.seconds + taken,
                "peak_memory": _peak_memory(),
            }
        )


def table_path(step_id: str, output: Output) -> Path:
    """Return the Parquet file that a step handed over; ProcessingError if there is none."""
    if output.path is None:
        raise ProcessingError(f"step {step_id!r} has no table to read: its output is a value")
    try:
        path = local_path(output.path)
    except ValueError as error:
        raise ProcessingError(f"the table of step {step_id!r} cannot be read: {error}") from error
    if not path.is_file():
        raise ProcessingError(f"the table of step {step_id!r} is gone: no file {output.path!r}")
    return path


def only_table(inputs: Inputs, name: str) -> Path:
    """Return the table of a step's one input; ProcessingError, by the processor's name, if none."""
    return table_path(*only_input(inputs, name))


def only_input(inputs: Inputs, name: str) -> tuple[str, Output]:
    """Return a step's one input by its id; ProcessingError, by the processor's name, if none."""
    if len(inputs.outputs) != 1:
        names = ", ".join(inputs.outputs) or "none"
        raise ProcessingError(f"{name} takes exactly one input, got {names}")
    return next(iter(inputs.outputs.items()))


def table_output(workspace: Workspace, records: int) -> Output:
    """Return the output that refers to the table that was published to a workspace."""
    path, size = workspace.path_of(TABLE), workspace.size_of(TABLE)
    return Output(path=path, records_out=records, bytes_out=size)


def _peak_memory() -> int:
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024  # kilobytes, except on macOS
