"""Processors: the pipeline steps that no agent owns.

`processor` is the interface, and what goes in and comes out; `registry` the list of names. One
module holds each: `file_read` (`file.read`), `data_validate` (`data.validate`), `sql_transform`
(`sql.transform`), `file_write` (`file.write`). They stand on `table_processor`, what they share;
`rules`, what makes a row bad; `column_type`, text as typed values; `csv_file`, what can be wrong
with CSV; `file_format`, formats by name; and `engine`, DuckDB behind locks.
"""
