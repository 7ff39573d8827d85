"""Tasks of an app of the project's own."""

from typing import Any

from celery import Celery, Task, shared_task

app = Celery("storefront", broker="memory://nowhere")
app.conf.update(task_soft_time_limit=77, task_ignore_result=False)


@app.task
def double(x: int) -> int:
    """Double a number."""
    return 2 * x


@app.task(bind=True, shared=False)
def quadruple(self: Any, x: int) -> dict[str, Any]:
    """Call another task of the app, and wait for nothing."""
    return {"child": double.delay(2 * x).id, "same": quadruple.request.id == self.request.id}


class Halve(Task):
    """A task that is a class."""

    name = "storefront.halve"

    def run(self, x: int) -> float:
        """Halve a number."""
        return x / 2


halve = app.register_task(Halve())


@shared_task
def shared_in_between(x: int) -> int:
    """Belong to whatever app is current."""
    return x
