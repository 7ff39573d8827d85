"""A run as a page: one HTML file that asks nobody for anything. Pure.

Every name, message and value on it may be anybody's: all of them are escaped, and the page's own
policy lets nothing run but its one script, and nothing be loaded.
"""

from base64 import b64encode
from hashlib import sha256

from datamcp.pipelines.export import RunExport
from datamcp.pipelines.page.dag import graph_section
from datamcp.pipelines.page.facts import Facts
from datamcp.pipelines.page.gantt import gantt_section
from datamcp.pipelines.page.head import head
from datamcp.pipelines.page.marks import symbols, word
from datamcp.pipelines.page.more import (
    attempts_section,
    errors_of,
    errors_section,
    logs_section,
    results_section,
    warnings_section,
)
from datamcp.pipelines.page.style import SCRIPT, STYLE
from datamcp.pipelines.page.table import table_section
from datamcp.pipelines.page.text import Html, instant, joined, tag


def run_page(export: RunExport) -> str:
    """Return a run as one HTML document, below about 2 MB however large the run is.

    Large graphs and charts are condensed, and long texts cut; the export as JSON has all of it.
    """
    facts = Facts(export)
    errors = errors_of(facts)
    anchors = {step_id: error.anchor for error in errors for step_id in error.steps}
    body = tag(
        "body",
        symbols(),
        tag(
            "main",
            head(facts),
            errors_section(facts, errors),
            graph_section(facts),
            gantt_section(facts),
            table_section(facts, anchors),
            attempts_section(facts),
            warnings_section(facts),
            results_section(facts),
            logs_section(facts),
            tag(
                "footer",
                f"datamcp {export.datamcp_version}, as of ",
                instant(export.exported_at),
                " UTC",
            ),
        ),
        tag("script", Html(SCRIPT)),
    )
    return f"<!DOCTYPE html>\n{tag('html', _top(export), body, lang='en')}\n"


def _top(export: RunExport) -> Html:
    status = export.status
    return tag(
        "head",
        joined(
            [
                tag("meta", charset="utf-8"),
                tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
                tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
                tag("meta", name="color-scheme", content="light dark"),
                tag("meta", name="referrer", content="no-referrer"),
                tag("title", f"{status.pipeline_id}: {word(status.state)} ({status.run_id})"),
                tag("style", Html(STYLE)),
            ]
        ),
    )


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


_POLICY = (
    f"default-src 'none'; style-src {_hash(STYLE)}; script-src {_hash(SCRIPT)}; "
    "base-uri 'none'; form-action 'none'"
)
