import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.source import REPOSITORY

from datamcp.cli.plan import _lines, _planned
from datamcp.cli.tree import tree
from datamcp.pipelines.definition import PipelineDefinition
from datamcp.pipelines.graph import Graph

DIAMOND = """
pipeline_id: diamond
version: "7"
tasks:
  - {task_id: a, processor: file.read}
  - {task_id: b, processor: sql.transform, input_sources: [a]}
  - {task_id: c, processor: sql.transform, input_sources: [a]}
  - {task_id: d, processor: sql.transform, input_sources: [b]}
dependencies: {d: [c]}
"""


def run(*words: str) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(tree, words, prog_name="datamcp")


def planned(text: str, *options: str) -> str:
    """Return what is printed of a pipeline."""
    Path("pipeline.yaml").write_text(text)
    result = run("pipeline", "plan", "pipeline.yaml", *options)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def test_a_plan_is_a_tree_and_its_canvases() -> None:
    """With how long and how wide it is; nothing needs a server."""
    assert planned(DIAMOND) == (
        "diamond, version 7: 4 steps, 4 edges\n"
        "critical path: 3 levels, a → b → d; widest: level 2, 2 steps\n"
        "\n"
        "plan\n"
        "  series\n"
        "    a\n"
        "    parallel\n"
        "      b\n"
        "      c\n"
        "    d\n"
        "\n"
        "1 canvas\n"
        "  chord  a → [b | c] → d\n"
    )


def test_a_plan_without_chords() -> None:
    """Where the result backend can't count, the ledger joins."""
    assert planned(DIAMOND, "--no-chords").splitlines()[-4:] == [
        "3 canvases",
        "  step   a",
        "  group  [b | c]",
        "  step   d",
    ]


def test_a_plan_as_data() -> None:
    """Steps in order, edges, the tree with depths, and the canvases."""
    found = json.loads(planned(DIAMOND, "--json"))
    assert [(step["step_id"], step["level"]) for step in found["steps"]] == [
        ("a", 1),
        ("b", 2),
        ("c", 2),
        ("d", 3),
    ]
    assert found["edges"][-1] == {"upstream": "c", "downstream": "d", "kind": "order"}
    assert found["plan"][1] == {"depth": 1, "kind": "step", "step_id": "a"}
    assert found["units"] == [
        {
            "kind": "chord",
            "heads": ["a"],
            "first": ["a"],
            "branches": [["b"], ["c"]],
            "last": ["d"],
        }
    ]
    size = [found[key] for key in ("levels", "critical_path", "widest_level", "width")]
    assert size == [3, ["a", "b", "d"], 2, 2]


def test_a_plan_tells_what_is_out_of_the_ordinary() -> None:
    """Behind the step: its rule, its condition, and what it is repeated for."""
    definition = PipelineDefinition.model_validate(
        {
            "pipeline_id": "p",
            "tasks": [
                {"task_id": "a", "processor": "x.y"},
                {
                    "task_id": "b",
                    "processor": "x.y",
                    "trigger_rule": "all_done",
                    "when": "outputs.a.records_out\n > 0",
                    "map": {"over": "${outputs.a.value}", "as": "one"},
                },
            ],
            "dependencies": {"b": ["a"]},
        }
    )
    shown = _lines(_planned(definition, Graph.of(definition), chords=True))
    note = "all_done  when outputs.a.records_out > 0  for each one of ${outputs.a.value}"
    assert f"    b  {note}" in list(shown)


def test_pictures() -> None:
    """In one language or the other."""
    assert planned(DIAMOND, "--mermaid").startswith('---\ntitle: "diamond"\n---\nflowchart TD\n')
    assert planned(DIAMOND, "--dot").startswith('digraph "diamond" {\n')


def test_what_is_wrong_is_told() -> None:
    """A file that is not valid has no plan, and a picture is no JSON."""
    Path("pipeline.yaml").write_text(DIAMOND.replace("[a]", "[e]", 1))
    result = run("pipeline", "plan", "pipeline.yaml")
    assert result.exit_code == 2
    assert "unknown step 'e'" in result.stderr
    result = run("pipeline", "plan", "pipeline.yaml", "--dot", "--json")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: --dot is a picture, no JSON; give one of the two")


@pytest.mark.parametrize("options", [(), ("--json",), ("--mermaid",), ("--dot",)], ids=str)
def test_large_and_deep_pipelines(options: tuple[str, ...]) -> None:
    """A thousand steps, many levels within each other; long lines of text are cut."""
    tasks = [f"  - {{task_id: s{index}, processor: x.y}}\n" for index in range(999)]
    edges = [f"  s{index}: [s{index - 3}, s0]\n" for index in range(3, 996)]
    ladder = [f"  z{index}: [b{index}, z{index + 1}]\n" for index in range(332)]
    ladder += [f"  a{index}: [a{index - 1}]\n" for index in range(1, 333)]
    ladder += [f"  b{index}: [a{index}]\n" for index in range(333)]
    text = f"pipeline_id: large\ntasks:\n{''.join(tasks)}dependencies:\n{''.join(edges)}"
    shown = planned(text, *options)
    assert "s998" in shown
    steps = [f"{letter}{index}" for letter in "abz" for index in range(333)]
    tasks = [f"  - {{task_id: {step}, processor: x.y}}\n" for step in steps]
    text = f"pipeline_id: deep\ntasks:\n{''.join(tasks)}dependencies:\n{''.join(ladder)}"
    shown = planned(text, *options)
    assert "z332" in shown
    if not options:
        assert max(len(line) for line in shown.splitlines()) < 1500


@pytest.mark.parametrize(
    "file", sorted((REPOSITORY / "config" / "pipelines").glob("*.yaml")), ids=lambda file: file.stem
)
def test_the_shipped_pipelines_have_a_plan(file: Path) -> None:
    """In each form."""
    for options in [(), ("--json",), ("--mermaid",), ("--dot",)]:
        assert run("pipeline", "plan", str(file), *options).exit_code == 0
