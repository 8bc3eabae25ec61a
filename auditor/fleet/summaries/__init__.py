"""What is kept of each source: its flows and contacts, as Parquet."""
