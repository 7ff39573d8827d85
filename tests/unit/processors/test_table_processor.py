import asyncio

import pytest
from support.steps import StepRunner

from datamcp.errors import ProcessingError
from datamcp.processors.data_validate import DataValidateConfig
from datamcp.processors.file_read import FileReadConfig
from datamcp.processors.processor import Inputs, ProcessingMetrics


def process(runner: StepRunner, paths: list[str]) -> ProcessingMetrics:
    """Read these files with one processor object, and return its metrics."""

    async def read_all() -> ProcessingMetrics:
        processor = runner.registry.create("file.read")
        for path in paths:
            inputs = Inputs(outputs={}, workspace=runner.store.workspace("run", "read", 1))
            try:
                await processor.process(inputs, FileReadConfig(path=path))
            except ProcessingError:
                continue
        metrics = await processor.get_metrics()
        await processor.cleanup()
        return metrics

    return asyncio.run(read_all())


def test_metrics(runner: StepRunner) -> None:
    """A processor object counts its runs, failures, records, bytes and seconds."""
    (runner.folder / "a.csv").write_text("a\n1\n2\n")
    metrics = process(runner, ["a.csv", "no.csv", "a.csv"])
    assert (metrics.runs, metrics.failures) == (3, 1)
    assert (metrics.records_in, metrics.records_out) == (4, 4)
    assert metrics.bytes_in == 12
    assert metrics.bytes_out > 0
    assert metrics.records_per_second == pytest.approx(4 / metrics.seconds)
    assert metrics.peak_memory > 2**20


def test_nothing_done_yet(runner: StepRunner) -> None:
    """A new processor has done nothing."""
    assert process(runner, []) == ProcessingMetrics()


def test_validate_config(runner: StepRunner) -> None:
    """A configuration is judged without any work; a foreign model is refused."""
    processor = runner.registry.create("data.validate")
    assert processor.validate_config(DataValidateConfig()).valid
    wrong = DataValidateConfig.model_validate({"columns": {"a": {"minimum": 1}}})
    judged = processor.validate_config(wrong)
    assert not judged.valid
    assert [error.path for error in judged.errors] == ["columns.a"]
    foreign = processor.validate_config(FileReadConfig(path="a.csv"))
    assert foreign.errors[0].message == "expected DataValidateConfig, got FileReadConfig"
