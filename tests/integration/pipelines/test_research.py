"""Searching, summarizing and reporting as steps of a pipeline, on a real worker."""

from pathlib import Path

import pytest
from support.runs import Bench

from datamcp.pipelines.definition import PipelineDefinition
from datamcp.pipelines.loader import parse
from datamcp.pipelines.status import RunState

_PIPELINE = """
pipeline_id: dossier
parameters:
  question: {type: string, default: "Why did the oil price fall in 2014?"}
tasks:
  - task_id: search
    processor: research.search
    configuration: {query: "${parameters.question}", folder: data/documents, limit: 4}
  - task_id: summary
    processor: research.summarize
    configuration: {found: "${outputs.search}", sentences: 3}
  - task_id: report
    processor: research.report
    input_sources: [search]
    configuration:
      title: "${parameters.question}"
      sections:
        - {heading: In short, value: "${outputs.summary}"}
        - {heading: What the documents say, input: search, limit: 2}
        - {heading: Figures, value: {passages: "${outputs.search.value}"}}
      sources:
        - {title: WTI, path: data/wti_1986_2018.csv.gz, url: "https://www.eia.gov", note: Prices}
"""


def dossier() -> PipelineDefinition:
    """Return the pipeline, as its file has it."""
    return parse(_PIPELINE)


@pytest.mark.parametrize("bench", ["sqlite"], indirect=True)
def test_a_question_becomes_a_report_with_sources(bench: Bench) -> None:
    """The hits of the first step are summarized by the second and cited by the third."""
    run_id = bench.run(dossier())

    status = bench.runtime.pipelines.sync.monitor_execution(run_id)
    assert status.state is RunState.SUCCEEDED, status.error_message
    outputs = {name: step.output for name, step in status.tasks.items()}
    assert outputs["search"]["documents"] == 13
    text = Path(outputs["report"]).read_text(encoding="utf-8")
    assert text.startswith("# Why did the oil price fall in 2014?\n\n## In short\n\n")
    assert text.count("\n> ") == 2
    assert "[1]" in text
    assert "data/documents/shale_glut_2014_2016.md, lines" in text
    assert text.endswith("- WTI: data/wti_1986_2018.csv.gz, <https://www.eia.gov>. Prices\n")


@pytest.mark.parametrize("bench", ["sqlite"], indirect=True)
def test_a_folder_that_is_not_there_fails_the_run_in_one_line(bench: Bench) -> None:
    """The message says what was looked for."""
    definition = parse(_PIPELINE.replace("data/documents", "data/nowhere"))
    status = bench.runtime.pipelines.sync.monitor_execution(bench.run(definition))
    assert status.state is RunState.FAILED
    assert "no file or folder 'data/nowhere'" in str(status.error_message)
