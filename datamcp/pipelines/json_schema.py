"""The JSON Schema of a pipeline file, for editors. Pure.

It is made from the definition's model, so it knows what the model knows: the form of each value.
What only the whole can tell, such as a step that does not exist, `pipeline validate` finds.

Source: JSON Schema, draft 2020-12.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from datamcp.pipelines.definition import PipelineDefinition, TaskDefinition

SCHEMA_ID = "urn:datamcp:pipeline"

_TITLE = "Pipeline of datamcp"
_SENTENCE = re.compile(r"(?<=[.;])\s+")

Schema = dict[str, Any]


class _Generator(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002  pydantic's
        # `Max Parallel` says no more than `max_parallel`.
        return False


def json_schema(processors: Collection[str] = (), *, strict: bool = False) -> Schema:
    """Return the JSON Schema of a pipeline file.

    `processors` are the names that an editor may propose for `processor`; where it is `strict`,
    there are no others.
    """
    model = PipelineDefinition.model_json_schema(schema_generator=_Generator)
    for part in _objects(model):
        _close(part)
        _describe(part)
    names = sorted(processors)
    if names:
        step = model["$defs"][TaskDefinition.__name__]["properties"]["processor"]
        step["enum" if strict else "examples"] = names
    head = {"$schema": _Generator.schema_dialect, "$id": SCHEMA_ID, "title": _TITLE}
    return head | {key: value for key, value in model.items() if key not in head}


def _objects(model: Schema) -> Iterator[Schema]:
    # Every schema of an object, however deep.
    todo: list[Any] = [model]
    while todo:
        part = todo.pop()
        if isinstance(part, dict):
            todo += part.values()
            if part.get("type") == "object":
                yield part
        elif isinstance(part, list):
            todo += part


def _close(part: Schema) -> None:
    # Keys that no pattern fits are refused by the model, but not by the schema made of it.
    if "patternProperties" in part:
        part.setdefault("additionalProperties", False)


def _describe(part: Schema) -> None:
    # An editor shows what the model's own description says of the key under the cursor.
    properties: Mapping[str, Schema] = part.get("properties", {})
    sentences = _SENTENCE.split(part.get("description", "").replace("\n", " "))
    for name, schema in properties.items():
        told = [sentence for sentence in sentences if f"`{name}`" in sentence]
        if told and "description" not in schema:
            schema["description"] = " ".join(told).rstrip(";")
