import json
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from support.dags import Edges, dags

from datamcp.pipelines.definition import PipelineDefinition
from datamcp.pipelines.drawing import Drawing, Edge, Node, dot, draw, mermaid, shortened
from datamcp.pipelines.graph import Graph

_NODE = re.compile(r'^  (n\d+)\["(.*)"\]$')
_ENTITY = re.compile(r"#(\d+);")


def drawing_of(*tasks: dict[str, Any], **more: Any) -> Drawing:
    """Return the drawing of a pipeline of these tasks."""
    steps = [{"processor": "x.y", **task} for task in tasks]
    definition = PipelineDefinition.model_validate({"pipeline_id": "p", "tasks": steps, **more})
    return draw(definition, Graph.of(definition))


DRAWING = drawing_of(
    {"task_id": "a"},
    {"task_id": "b", "input_sources": ["a"], "trigger_rule": "all_done"},
    {
        "task_id": "c",
        "configuration": {"x": ["${outputs.a.path}"]},
        "when": "outputs.a.value ==\n  \"x\" and outputs.a.state != '<none>'",
    },
    {"task_id": "d", "map": {"over": "${outputs.c.value}", "as": "one"}},
    name='Say "hi" & bye\\',
    dependencies={"d": ["a", "c"]},
)


def test_edges_know_whether_data_goes_along() -> None:
    """Inputs, references and what a map goes over carry data; mere dependencies do not."""
    assert DRAWING.edges == (
        Edge("a", "b", "data"),
        Edge("a", "c", "data"),
        Edge("a", "d", "order"),
        Edge("c", "d", "data"),
    )


def test_nodes_tell_what_is_out_of_the_ordinary() -> None:
    """A rule other than the usual, a condition, a map."""
    assert DRAWING.nodes == (
        Node("a", ("x.y",)),
        Node("b", ("x.y", "trigger_rule: all_done")),
        Node("c", ("x.y", "when: outputs.a.value == \"x\" and outputs.a.state != '<none>'")),
        Node("d", ("x.y", "map: ${outputs.c.value} as one")),
    )


def test_a_flowchart() -> None:
    """Ids are numbers, and no label can end early."""
    assert mermaid(DRAWING).splitlines() == [
        "---",
        r'title: "Say \"hi\" & bye\\"',
        "---",
        "flowchart TD",
        '  n0["a<br/>x.y"]',
        '  n1["b<br/>x.y<br/>trigger_rule: all_done"]',
        (
            '  n2["c<br/>x.y<br/>when: outputs.a.value == #34;x#34; and outputs.a.state != '
            '#39;#60;none#62;#39;"]'
        ),
        '  n3["d<br/>x.y<br/>map: $#123;outputs.c.value#125; as one"]',
        "  n0 --> n1",
        "  n0 --> n2",
        "  n0 -.-> n3",
        "  n2 --> n3",
    ]


def test_a_digraph() -> None:
    """Ids and labels are quoted."""
    title = r'"Say \"hi\" &amp; bye\\"'
    assert dot(DRAWING).splitlines() == [
        f"digraph {title} {{",
        f'  graph [label={title}, labelloc=t, rankdir=TB, fontname="sans-serif"]',
        '  node [shape=box, style=rounded, fontname="sans-serif"]',
        r'  "a" [label="a\nx.y"]',
        r'  "b" [label="b\nx.y\ntrigger_rule: all_done"]',
        (
            r'  "c" [label="c\nx.y\nwhen: outputs.a.value == \"x\" and outputs.a.state != '
            "'<none>'\"]"
        ),
        r'  "d" [label="d\nx.y\nmap: ${outputs.c.value} as one"]',
        '  "a" -> "b"',
        '  "a" -> "c"',
        '  "a" -> "d" [style=dashed]',
        '  "c" -> "d"',
        "}",
    ]


@given(st.text(), st.text())
def test_any_text_stays_in_its_label(title: str, text: str) -> None:
    """Whatever stands in a label, the lines around it stay as they are, and it can be read back."""
    drawing = Drawing(title, (Node("a", (text,)),), ())
    first, named, third, fourth, node = mermaid(drawing).splitlines()[:5]
    assert (first, third, fourth) == ("---", "---", "flowchart TD")
    assert isinstance(json.loads(named.removeprefix("title: ")), str)
    found = _NODE.match(node)
    assert found is not None
    label = found[2]
    assert not set(re.sub(r"#\d+;|<br/>", "", label)) & set("\"'<>`#;")
    shown = _ENTITY.sub(lambda entity: chr(int(entity[1])), label.replace("<br/>", "\n"))
    assert len(shown) == len(f"a\n{text}")

    lines = dot(drawing).split("\n")
    assert len(lines) == 6
    for line in lines:
        assert re.sub(r"\\.", "", line).count('"') % 2 == 0


@given(dags())
def test_all_steps_and_edges_are_drawn(edges: Edges) -> None:
    """Each once, and no other."""
    drawing = drawing_of(*({"task_id": step} for step in edges), dependencies=edges)
    assert sorted(node.step_id for node in drawing.nodes) == sorted(edges)
    drawn = sorted((edge.downstream, edge.upstream) for edge in drawing.edges)
    assert drawn == sorted((step, up) for step, ups in edges.items() for up in ups)
    assert dot(drawing).count(" -> ") == mermaid(drawing).count(" -.-> ") == len(drawn)


def test_long_texts_are_cut() -> None:
    """A label has one line for each thing."""
    assert shortened("a  b\n c", 10) == "a b c"
    assert shortened("abcdef", 4) == "abc…"
    assert shortened("a\x1b[31m\ud800b") == "a [31m b"
