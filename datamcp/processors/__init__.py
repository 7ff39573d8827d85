"""Processors: the pipeline steps that no agent owns.

`processor` is the interface, and what goes in and comes out; `registry` the list of names. One
module holds each: `file_read` (`file.read`), `data_validate` (`data.validate`), `sql_transform`
(`sql.transform`), `file_write` (`file.write`). They stand on `table_processor`, what they share;
`rules`, what makes a row bad; `column_type`, text as typed values; `csv_file`, reading CSV
strictly; `file_format`, formats by name; `file_fault`, what is wrong with a file; and `engine`,
DuckDB behind locks. `documents` reads text, Markdown, HTML and PDF; the research agent does so, too.
"""
