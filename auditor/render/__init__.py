"""One module per form of the report, each a pure function of it."""
