"""One module per kind of input, from bytes to columns; `read.read` opens a file and finds its kind."""
