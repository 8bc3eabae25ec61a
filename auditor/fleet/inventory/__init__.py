"""Which sources there are, and which computer each belongs to."""
