"""Processors: the pipeline steps that no agent owns.

`processor` is the interface, and what goes in and comes out; `registry` the list of names, with
those of installed packages (`plugins`). One module holds each: `file_read` (`file.read`),
`sql_read` (`sql.read`), `http_get` (`http.get`), `http_post` (`http.post`), `document_extract`
(`document.extract`), `data_validate` (`data.validate`), `sql_transform` (`sql.transform`),
`file_write` (`file.write`), `file_deliver` (`file.deliver`), `sql_write` (`sql.write`).

`at_hand` has the files of what a step receives on this machine, wherever they are kept.

All stand on `table_processor`, what they share, and `engine`, DuckDB behind locks. `file_sources`
are the files that a path means; `file_format`, formats by name; `csv_file`, reading CSV strictly;
`file_fault`, what is wrong with a file; `column_type`, text as typed values; `rules`, what makes a row
bad; `json_rows`, rows from outside as a table; `document_rows`, documents as rows.

Databases are found in `connections`, and `sql_fault` tells what those refuse; `sql_query` is what is
asked, `sql_columns` what a database says of columns, `column_values` their values as text, `row_file`
rows on their way in; `table_rows` rows on their way out, and `sql_target` the table that takes them.

`documents` reads text, Markdown, HTML and PDF; the research agent does so, too. `web` asks servers.
"""
