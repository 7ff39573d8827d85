"""`datamcp pipeline schema`: the form of a pipeline file, for editors."""

import json

import click

from datamcp.cli.session import session
from datamcp.pipelines.json_schema import json_schema


@click.command()
@click.option(
    "--strict", is_flag=True, help="Refuse processors and capabilities that are not here."
)
def schema(strict: bool) -> None:
    """Print the JSON Schema of a pipeline file.

    An editor that knows YAML completes and checks with it what is written: save it beside the
    pipelines, and begin each of them with the line

    \b
      # yaml-language-server: $schema=pipeline.schema.json

    What only the whole file can tell, such as a step that does not exist, `datamcp pipeline
    validate` finds. The processors, and the capabilities of the agents that are configured here,
    are proposed for `processor`. Neither database nor broker is asked.

    \b
    Examples:
      datamcp pipeline schema > pipeline.schema.json
      datamcp pipeline schema --strict | jq '."$defs".TaskDefinition.properties.processor.enum'
    """  # noqa: D301  click's mark for text that is not re-wrapped
    with session().parts() as runtime:
        types = runtime.types
        names = {kind.name for queue in types.queues() for kind in types.served_by(queue)}
    click.echo(json.dumps(json_schema(names, strict=strict), indent=2, ensure_ascii=False))
