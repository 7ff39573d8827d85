"""What every processor is: the specification's interface, and what goes in and comes out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, NonNegativeInt

from datamcp.errors import ProcessingError
from datamcp.storage.artifacts import Workspace
from datamcp.types import JSONValue


class ProcessingConfig(BaseModel):
    """How a processor shall do its work; each processor has a model of its own.

    An unknown key is an error that names its path.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


class Output(BaseModel):
    """What a step hands to the next ones: a table by reference, a small value, or both.

    `path` is a Parquet file of this machine unless the processor says otherwise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str | None = None
    value: JSONValue = None
    records_out: NonNegativeInt | None = None
    bytes_out: NonNegativeInt | None = None


@dataclass(frozen=True, slots=True)
class Inputs:
    """What reaches a processor: the upstream steps' outputs by step id, and where to write.

    `task_id` is equal for all attempts at one step of one run; empty where no task runs it.
    `watermark` is the JSON text that the last run which ended well gave as its own.
    `idempotency_key` is equal for all attempts of a step, so that an outside service can recognise
    a repetition; it is empty where a processor is run by hand.
    """

    outputs: Mapping[str, Output]
    workspace: Workspace
    task_id: str = ""
    watermark: str | None = None
    idempotency_key: str = ""


class ProcessingResult(BaseModel):
    """What a processor did; `execution_time` is in seconds.

    `watermark` is JSON text: up to where an incremental read has come.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    output: Output
    records_in: NonNegativeInt = 0
    records_out: NonNegativeInt = 0
    records_rejected: NonNegativeInt = 0
    bytes_in: NonNegativeInt = 0
    bytes_out: NonNegativeInt = 0
    execution_time: NonNegativeFloat = 0.0
    warnings: tuple[str, ...] = ()
    watermark: str | None = None


class ConfigFault(BaseModel):
    """One thing that is wrong with a processor's configuration: where, and what."""

    model_config = ConfigDict(frozen=True)

    path: str
    message: str


class ValidationResult(BaseModel):
    """Whether a configuration can be used, and everything that is wrong with it."""

    model_config = ConfigDict(frozen=True)

    valid: bool
    errors: tuple[ConfigFault, ...] = ()
    warnings: tuple[str, ...] = ()


def require_valid(checked: ValidationResult) -> None:
    """Raise ProcessingError with everything that is wrong with a configuration, if anything is."""
    if not checked.valid:
        listed = "; ".join(
            f"{one.path}: {one.message}" if one.path else one.message for one in checked.errors
        )
        raise ProcessingError(f"the configuration cannot be used: {listed}")


class ProcessingMetrics(BaseModel):
    """What one processor object has done since it was made.

    `peak_memory` is the largest resident size of the whole process so far, in bytes.
    """

    model_config = ConfigDict(frozen=True)

    runs: NonNegativeInt = 0
    failures: NonNegativeInt = 0
    records_in: NonNegativeInt = 0
    records_out: NonNegativeInt = 0
    bytes_in: NonNegativeInt = 0
    bytes_out: NonNegativeInt = 0
    seconds: NonNegativeFloat = 0.0
    records_per_second: NonNegativeFloat = 0.0
    peak_memory: NonNegativeInt = 0


class DataProcessor(ABC):
    """Turns data into data according to a configuration (specification, Data Processing)."""

    @abstractmethod
    async def process(self, data: Any, config: ProcessingConfig) -> ProcessingResult:
        """Process `data`, which is `Inputs` for the product's processors.

        ProcessingError if the input cannot be processed: the same input will fail again.
        """

    @abstractmethod
    def validate_config(self, config: ProcessingConfig) -> ValidationResult:
        """Tell whether `config` can be used, without doing any work."""

    @abstractmethod
    async def get_metrics(self) -> ProcessingMetrics:
        """Return what this object has done so far."""

    @abstractmethod
    async def cleanup(self) -> None:
        """Give back whatever is held; the object is not used afterwards."""
