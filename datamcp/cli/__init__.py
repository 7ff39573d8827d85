"""The command line: one tree of commands, `datamcp`.

`tree` has all of its groups, and says where their commands are: each is imported when it is run.
`group` tells whatever goes wrong in a line, with its exit code. `task`, `pipeline` and `schedule` are
also groups of `celery -A datamcp`. `task` and `dead` are the commands on tasks; `pipeline`, `run` with
`dry_run`, `pipeline_change`, `pipeline_signal`, `pipeline_backfill`, `pipeline_history`, `plan`,
`pipeline_schema`, `watch`, `run_logs`, `run_lineage` and `run_export` those on pipelines; `schedule`,
`schedule_preview` and `schedule_change` those on schedules. `config` explains the settings,
`check` looks whether all is there, `services` runs processes and prepares the ledger. `up` starts
and ends all of them, `status` and its `status_page` show how they are. `demo` shows the flows on
real data, with `demo_run`, `demo_results` and their `tables`.

`session` is what all commands share, `installed` what they know of processors; `parameters` is how
they read, `task_lines` tasks from a file, `schedule_options` what a schedule is to be; `output`,
`task_tables`, `pipeline_tables` and `schedule_tables` how they write, `run_remarks` what else there
is to say of a run, `progress` and `live` a run as a live table.
"""

import sys


def main() -> None:
    """Run the command line."""
    try:
        from datamcp.cli.tree import tree

        tree(prog_name="datamcp")
    except KeyboardInterrupt:  # before any command could tell
        sys.exit(130)
