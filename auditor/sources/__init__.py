"""One module per kind of input, from bytes to columns; `reading.read` opens a file and tells which it is."""
