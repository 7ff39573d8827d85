"""How fast pipelines are beside raw Celery's canvases, in one run: `python -m benchmarks.pipelines`.

In the order data flows:

* `shapes`: the graphs that are run, and what is true of them. Pure.
* `side`: what every side is: runs of a graph that it starts, and waits for.
* `raw`: raw Celery, in the best canvases that we know.
* `ours`: datamcp, on PostgreSQL and on SQLite, and the same with gated steps.
* `table_input`: a CSV file of flights, and what has to come out.
* `tables`: who turns it into Parquet and an aggregate: datamcp, and DuckDB alone.
* `plays`: how a scenario is played once, checked, and timed.
* `scenarios`: what is measured. A new scenario is a row here.
* `contest`: interleaved rounds, counts. A new side is made in its `_enter`.
* `statements`: which statements a step takes.
* `outcome`: what a run found, in and out of JSON.
* `report`: tables for a terminal and for the page `docs/reference/benchmarks-pipelines.md`.
"""
