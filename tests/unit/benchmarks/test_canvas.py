import pytest
from celery import Celery, Signature

from benchmarks.canvas import canvas_of, extras_of, last_of
from benchmarks.datamcp_stack import pipeline_of
from benchmarks.rival import Layers, numbered

SHAPES = [
    ((1,) * 5, 0),
    ((3, 3, 3), 3),
    ((20, 1), 0),
    ((1, 3), 1),
    ((1, 3, 1, 2), 1),
]


@pytest.fixture
def app() -> Celery:
    """Have an app that sends nothing."""
    return Celery("canvases", broker="memory://", set_as_current=False)


def _numbers(app: Celery, layers: Layers) -> list[int]:
    made: list[int] = []

    def noop(number: int) -> Signature:
        made.append(number)
        return app.signature("noop", kwargs={"number": number}, immutable=True)

    canvas_of(app, noop, layers)
    return made


@pytest.mark.parametrize(("layers", "extras"), SHAPES)
def test_a_canvas_has_each_task_and_the_joins(app: Celery, layers: Layers, extras: int) -> None:
    """A group is followed by a single task, if need be by one of the canvas's own."""
    assert extras_of(layers) == extras
    numbers = _numbers(app, layers)
    assert sorted(numbers) == list(range(sum(layers) + extras))
    assert numbers[-1] == last_of(layers)


def test_layers_are_numbered_through() -> None:
    """The first task of a layer follows the last one of the layer before."""
    assert numbered((2, 1, 3)) == [range(2), range(2, 3), range(3, 6)]


def test_a_pipeline_connects_neighbouring_layers() -> None:
    """Each step waits for all steps of the layer before, and for no other."""
    definition = pipeline_of((1, 2, 2), "bench.noop")
    assert [step.task_id for step in definition.tasks] == ["s0", "s1", "s2", "s3", "s4"]
    assert definition.dependencies == {
        "s1": ("s0",),
        "s2": ("s0",),
        "s3": ("s1", "s2"),
        "s4": ("s1", "s2"),
    }
