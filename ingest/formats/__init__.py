"""File formats to rows: delimited text, workbooks, JSON; encodings, headers and unpacking."""
