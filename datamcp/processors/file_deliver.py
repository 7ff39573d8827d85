"""`file.deliver`: what a step left goes where its author wants it, whatever it is."""

import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from pydantic import Field
from pydantic_core import to_json

from datamcp.errors import ProcessingError
from datamcp.processors.file_write import FileWrite, FileWriteConfig, place
from datamcp.processors.processor import (
    ConfigFault,
    Inputs,
    Output,
    ProcessingConfig,
    ProcessingResult,
)
from datamcp.processors.table_processor import TableProcessor, only_input

_TABLE = ".parquet"
_VALUE = ".json"


class FileDeliverConfig(ProcessingConfig):
    """Where the one input goes: an absolute path, or a URL, inside `storage.allowed_roots`.

    A table is written in the format that the ending says, as `file.write` does; any other file is
    copied as it is, to a name with the same ending; a value becomes a `.json` file. A `path` with a
    slash at its end is a folder: the file in it is named after the step, with the ending that fits.
    A file of that name is replaced in one step.
    """

    path: str = Field(min_length=1)


class FileDeliver(TableProcessor[FileDeliverConfig]):
    """Writes its one input to a file outside of the artifacts; it is whole, or not there."""

    config_model = FileDeliverConfig

    def faults(self, config: FileDeliverConfig) -> Iterable[ConfigFault]:
        """Return what is no place outside of the artifacts."""
        if "://" not in config.path and not Path(config.path).is_absolute():
            yield ConfigFault(path="path", message="must be absolute, or a URL")

    def run(self, inputs: Inputs, config: FileDeliverConfig) -> ProcessingResult:
        """Write the file; ProcessingError if the input does not fit into it."""
        step_id, output = only_input(inputs, "file.deliver")
        path = _named(config.path, step_id, output)
        if output.path is not None and _ending(output.path) == _TABLE:
            processor = FileWrite(roots=self._roots, limits=self._limits, clock=self._clock)
            return processor.run(inputs, FileWriteConfig(path=path))
        final, writing = place(path, inputs.workspace, self._roots)
        with writing as part:
            _fill(part, path, step_id, output)
            size = part.stat().st_size
        return ProcessingResult(
            output=Output(path=final, bytes_out=size), bytes_in=size, bytes_out=size
        )


def _named(path: str, step_id: str, output: Output) -> str:
    if not path.endswith("/"):
        return path
    return f"{path}{step_id}{_VALUE if output.path is None else _ending(output.path)}"


def _fill(part: Path, path: str, step_id: str, output: Output) -> None:
    ending = _VALUE if output.path is None else _ending(output.path)
    if _ending(path) != ending:
        what = "a value" if output.path is None else f"a file {ending or 'without an ending'}"
        raise ProcessingError(
            f"cannot write {path!r}: step {step_id!r} left {what}; let the name end in {ending!r}, "
            "or in a slash"
        )
    if output.path is None:
        part.write_bytes(to_json(output.value, indent=2) + b"\n")
        return
    try:
        shutil.copyfile(output.path, part)
    except FileNotFoundError as error:
        raise ProcessingError(
            f"the file of step {step_id!r} is gone: no file {output.path!r}"
        ) from error


def _ending(path: str) -> str:
    suffixes = PurePosixPath(path).suffixes
    return "".join(suffixes[-2:] if suffixes[-1:] == [".gz"] else suffixes[-1:]).lower()
