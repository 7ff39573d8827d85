"""The outputs that a step receives, with their files on this machine."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from datamcp.processors.processor import Output, ProcessingResult
from datamcp.storage.copies import Copies


class AtHand(Mapping[str, Output]):
    """Outputs by step id; a file that is elsewhere is copied when its output is first asked for."""

    def __init__(self, outputs: Mapping[str, Output], copies: Copies) -> None:
        """Take the outputs as they were handed over, and who copies."""
        self._outputs = outputs
        self._copies = copies

    def __getitem__(self, step_id: str) -> Output:
        """Return an output; ProcessingError or BackendUnavailable if its file can't be copied."""
        output = self._outputs[step_id]
        return output if output.path is None else self._with_path(output, output.path)

    def __iter__(self) -> Iterator[str]:
        """Yield the ids of the steps."""
        return iter(self._outputs)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._outputs)

    def within(self, text: str) -> str:
        """Return a capability's parameters (JSON) whose `inputs` are on this machine.

        Those are left alone that the pipeline's author has written.
        """
        values: dict[str, Any] = json.loads(text)
        given = {name: one.model_dump(mode="json") for name, one in self._outputs.items()}
        if not given or values.get("inputs") != given:
            return text
        values["inputs"] = {name: one.model_dump(mode="json") for name, one in self.items()}
        return json.dumps(values)

    def _with_path(self, output: Output, path: str) -> Output:
        here = self._copies.handed_over(path)
        return output if here == path else output.model_copy(update={"path": here})


def as_handed_over(value: Any, copies: Copies) -> Any:
    """Return a result that names, for a copy that it hands on, the file that this is a copy of."""
    match value:
        case ProcessingResult(output=output):
            return value.model_copy(update={"output": as_handed_over(output, copies)})
        case Output(path=str(path)):
            return value.model_copy(update={"path": copies.original(path)})
    return value
